"""Where a version came from and what it forgot, read from and written to MLflow.

MLflow has no edge from a version to its parent, so the lineage is carried by the `lethe.parent`
tag, by the parent as the run's model input, and by links in the descriptions.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_registry import tags
from model_registry.tags import CANDIDATE
from model_registry.version import MISSING, VersionRef, find_version, parse_number

if TYPE_CHECKING:
    from mlflow import MlflowClient


# Read back by model_registry/dataset_source.py, which only MLflow imports: it is loaded in the
# middle of MLflow's own import.
DVC_SOURCE = "dvc"


@dataclass(frozen=True)
class DatasetUse:
    """How a run used a data set: which part, in which role (MLflow's context), how many rows."""

    name: str
    context: str
    repository: str
    path: str
    git_rev: str
    dvc_md5: str
    rows: int


def log_dataset_uses(
    client: "MlflowClient", run_id: str, uses: list[DatasetUse], parent_model_id: str | None
) -> None:
    """Record a run's data sets, digest = DVC md5, and the parent as its model input."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput

    datasets = [
        DatasetInput(
            Dataset(
                name=use.name,
                digest=use.dvc_md5,
                source_type=DVC_SOURCE,
                source=json.dumps(
                    {"repository": use.repository, "path": use.path, "git_rev": use.git_rev}
                ),
                profile=json.dumps({"num_rows": use.rows}),
            ),
            [InputTag("mlflow.data.context", use.context)],
        )
        for use in uses
    ]
    models = [LoggedModelInput(parent_model_id)] if parent_model_id else None
    client.log_inputs(run_id, datasets=datasets, models=models)


def ancestry(client: "MlflowClient", ref: VersionRef) -> Iterator[Any]:
    """The version's record, its parent's, and so on to the first; stops where a record is gone."""
    from mlflow.exceptions import MlflowException

    seen: set[str] = set()
    step: str | None = str(ref)
    while step is not None and step not in seen:
        seen.add(step)
        here = parse_number(step)
        try:
            record = client.get_model_version(here.name, str(here.number))
        except MlflowException as error:
            if error.error_code not in MISSING:
                raise  # a line cut short by a failure would hide what was forgotten before
            return
        yield record
        step = record.tags.get(tags.PARENT)


def forgotten_classes(client: "MlflowClient", ref: VersionRef) -> tuple[str, ...]:
    """Names of the classes that this version or an ancestor was made to forget, oldest first."""
    found: list[str] = []
    for record in ancestry(client, ref):
        found = [*class_names(record), *found]
    return tuple(dict.fromkeys(found))


def class_names(record: Any) -> list[str]:
    """Names of the classes that one version was made to forget, from its tag."""
    names: list[str] = json.loads(record.tags.get(tags.FORGOTTEN, "[]"))
    return names


def already_forgotten(
    client: "MlflowClient", ref: VersionRef, forget_digest: str
) -> VersionRef | None:
    """The version, this one or an ancestor, whose finished edit forgot exactly this set."""
    for record in ancestry(client, ref):
        if record.tags.get(tags.FORGET_DIGEST) == forget_digest and tags.STATEMENT in record.tags:
            return VersionRef(record.name, int(record.version))
    return None


def beneath(client: "MlflowClient", ref: VersionRef) -> VersionRef:
    """The version that a quarantine was put on; any other version itself.

    A quarantine changes no weight and is nobody's parent: what is edited, and whose place a
    successor takes, is the version under it.
    """
    record = client.get_model_version(ref.name, str(ref.number))
    parent = record.tags.get(tags.PARENT)
    if tags.QUARANTINE not in record.tags or parent is None:
        return ref
    return parse_number(parent)


def newest_of_line(client: "MlflowClient", reference: str) -> str:
    """The unpromoted successor of the version that an alias is on, else the reference itself.

    The alias `candidate` counts only when it is on a descendant: a candidate whose line the model
    owner left belongs to no one.
    """
    from mlflow.exceptions import MlflowException

    ref, _ = find_version(client, reference)
    if ref.alias is None:
        return reference
    try:
        candidate = client.get_model_version_by_alias(ref.name, CANDIDATE)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        return reference
    newest = VersionRef(ref.name, int(candidate.version))
    finished = tags.STATEMENT in candidate.tags and tags.ROLLED_BACK_AT not in candidate.tags
    line = {int(record.version) for record in ancestry(client, newest)}
    return str(newest) if finished and beneath(client, ref).number in line else reference


def refused_run(
    client: "MlflowClient", experiment: str, deciding: Mapping[str, str]
) -> "Any | None":
    """The finished run that refused exactly this work before, if there is one."""
    same = " and ".join(f"tags.`{key}` = '{value}'" for key, value in deciding.items())
    found = client.search_runs([experiment], same)
    done = (run for run in found if run.data.tags.get(tags.VERDICT) == "refused")
    return next((run for run in done if tags.STATEMENT in run.data.tags), None)


def successor_for(
    client: "MlflowClient", parent: VersionRef, forget_digest: str, key: str
) -> VersionRef | None:
    """The newest registered successor that forgot this set in this way, if there is one."""
    found = client.search_model_versions(
        f"name = '{parent.name}' and tag.`{tags.FORGET_DIGEST}` = '{forget_digest}' "
        f"and tag.`{tags.METHOD_KEY}` = '{key}' and tag.`{tags.PARENT}` = '{parent}'"
    )
    newest = max(found, key=lambda record: int(record.version), default=None)
    return None if newest is None else VersionRef(newest.name, int(newest.version))


def version_with_tag(client: "MlflowClient", name: str, tag: str, value: str) -> VersionRef | None:
    """The newest version of a model that carries a tag with this value."""
    found = client.search_model_versions(f"name = '{name}' and tag.`{tag}` = '{value}'")
    newest = max(found, key=lambda record: int(record.version), default=None)
    return None if newest is None else VersionRef(newest.name, int(newest.version))
