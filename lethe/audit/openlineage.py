"""Statements as OpenLineage events, for tools that show lineage across systems.

    event = run_event(statement, digest=kept.digest)
    Serde.to_json(event)  # one line

Needs the extra `lethe[openlineage]` (https://openlineage.io, spec 2-0-2, package
openlineage-python). One statement is one finished run: COMPLETE, or FAIL if it was refused. Its
inputs are the data set at its DVC version and the parent, its output is the successor; model
versions are versions of one OpenLineage dataset, the registered model. OpenLineage has no word for
rows that were forgotten: the model is said to be overwritten, and the facet `lethe_forgotten` says
what of.

An event says less than its statement: nobody who asked, no digest of what was selected, no keys of
tickets. `lethe_record` leads back to the signed record, which decides.
"""

from typing import Any, Final, TypeVar, cast
from uuid import NAMESPACE_URL, uuid5

from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
)
from openlineage.client.facet_v2 import (
    BaseFacet,
    DatasetFacet,
    InputDatasetFacet,
    RunFacet,
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    lifecycle_state_change_dataset,
    processing_engine_run,
)

from lethe.audit.predicate import Data, EvaluationData, Predicate, Version
from lethe.audit.statement import Statement

PRODUCER: Final = "https://lethe.dev"
JOBS: Final = "lethe"
MODELS: Final = "mlflow"
Facet = TypeVar("Facet", bound=BaseFacet)


def run_event(statement: Statement, *, digest: str) -> RunEvent:
    """The event of one statement; the same statement gives the same event.

    Args:
        statement: what is told.
        digest: its SHA-256, as the trail has it.
    """
    said = statement.predicate
    refused = said.successor is None
    return RunEvent(
        eventTime=said.times.finished.isoformat(),
        producer=PRODUCER,
        eventType=RunState.FAIL if refused else RunState.COMPLETE,
        # A run of MLflow can have several records: refused, and refused by other thresholds.
        run=Run(
            str(uuid5(NAMESPACE_URL, f"{statement.predicate_type}#{digest}")),
            _run(statement, digest),
        ),
        job=Job(
            JOBS,
            f"unlearn.{_model(said.parent)}",
            {
                "jobType": job_type_job.JobTypeJobFacet(
                    processingType="BATCH",
                    integration="LETHE",
                    jobType="UNLEARNING",
                    producer=PRODUCER,
                )
            },
        ),
        inputs=_inputs(said),
        outputs=[] if said.successor is None else [_output(said.successor)],
    )


def _run(statement: Statement, digest: str) -> dict[str, RunFacet]:
    said = statement.predicate
    facets = {
        "lethe_forgotten": _forgotten(said),
        "lethe_verdict": _own(
            RunFacet,
            verdict=said.verdict,
            rule=said.rule,
            reason=said.reason,
            gates=[one.model_dump(mode="json", exclude={"words"}) for one in said.gates],
            notCovered=list(said.not_covered),
        ),
        "lethe_method": _own(RunFacet, name=said.method.name, seconds=dict(said.compute.seconds)),
        "lethe_record": _own(
            RunFacet,
            sha256=digest,
            sequence=said.record.sequence,
            keyId=said.record.key_id,
            predicateType=statement.predicate_type,
            mlflowRun=said.run_id,
        ),
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=said.code.lethe, name="lethe", producer=PRODUCER
        ),
    }
    if said.successor is None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=said.reason, programmingLanguage="PYTHON", producer=PRODUCER
        )
    return facets


def _forgotten(said: Predicate) -> RunFacet:
    """What was forgotten; of a refusal, what was to be."""
    return _own(
        RunFacet,
        batch=said.batch,
        requests=len(said.requests),
        kind=said.data.kind,
        classes=list(said.data.classes),
        rows=said.data.count,
        heldOutRows=said.data.held_out_count,
        totalRows=said.data.total,
    )


def _inputs(said: Predicate) -> list[InputDataset]:
    found = [_data(said.data, said.data.repository, "forget")]
    if said.evaluation is not None:
        found.append(_data(said.evaluation, said.data.repository, "evaluation"))
    return [*found, InputDataset(MODELS, _model(said.parent), facets=_version(said.parent))]


def _data(data: Data | EvaluationData, repository: str, role: str) -> InputDataset:
    version = dataset_version_dataset.DatasetVersionDatasetFacet(
        datasetVersion=data.dvc_md5, producer=PRODUCER
    )
    commit = _own(DatasetFacet, gitRev=data.git_rev, md5=data.dvc_md5)
    use = _own(InputDatasetFacet, role=role)
    return InputDataset(
        repository, data.path, {"lethe_use": use}, facets={"version": version, "lethe_dvc": commit}
    )


def _output(successor: Version) -> OutputDataset:
    change = lifecycle_state_change_dataset
    overwritten = change.LifecycleStateChangeDatasetFacet(
        lifecycleStateChange=change.LifecycleStateChange.OVERWRITE, producer=PRODUCER
    )
    facets = {**_version(successor), "lifecycleStateChange": overwritten}
    return OutputDataset(MODELS, _model(successor), facets=facets)


def _version(version: Version) -> dict[str, DatasetFacet]:
    number = dataset_version_dataset.DatasetVersionDatasetFacet(
        datasetVersion=str(version.version), producer=PRODUCER
    )
    weights = _own(DatasetFacet, sha256=version.weights_sha256, uri=version.uri)
    return {"version": number, "lethe_weights": weights}


def _model(version: Version) -> str:
    return version.uri.removeprefix("models:/").rpartition("/")[0]


def _own(kind: type[Facet], /, **values: Any) -> Facet:
    """A facet that OpenLineage does not define."""
    return cast("Facet", kind(producer=PRODUCER).with_additional_properties(**values))
