"""What the statements about a successor and about a quarantine say in the same words."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from lethe.audit.environment import running_code
from lethe.audit.fields import flat_settings
from lethe.audit.predicate import Code, Data, EvaluationData, Gate, Method, Request, Version
from lethe.audit.receipt import fingerprints, rows_root
from lethe.data.forget_set import ForgetSet
from lethe.deletion.ledger.types import Batch
from lethe.evaluation.results import Accuracy
from lethe.evaluation.verdict import Decision
from lethe.keys import record_key
from lethe.settings import Settings
from lethe.unlearning.method import Method as Unlearning
from model_registry import tags
from model_registry.version import VersionRef


def requests_of(
    batch: Batch, forget: ForgetSet, own: Mapping[str, Accuracy | None]
) -> Iterator[Request]:
    """The requests with how many of their own rows are still recognised."""
    for entry in batch.entries:
        found, selection = own.get(entry.id), entry.request.forget.selection
        yield Request(
            id=entry.id,
            ground=entry.request.ground,
            received_at=entry.request.received_at,
            kind=forget.kind if selection is None else selection.kind,
            ticket=entry.request.ticket,
            source=entry.request.source,
            regulation=entry.request.regulation,
            due_at=entry.due_at,
            policy=entry.policy,
            approved_by=entry.approvals,
            rows=None if found is None else found.count,
            recognised=None if found is None else found.share,
        )


def data_of(settings: Settings, batch: Batch, forget: ForgetSet) -> Data:
    """What was forgotten of which data.

    The leaves of the tree over the rows are keyed by the batch too, so the same row in two batches
    cannot be told to be one; receipts lead to its root.
    """
    key = record_key(settings.record_key_file)
    return Data(
        repository=forget.repository,
        path=forget.spec.dataset,
        git_rev=forget.git_rev,
        dvc_md5=forget.dvc_md5,
        kind=forget.kind,
        classes=forget.class_names if forget.kind == "class" else (),
        count=forget.count,
        held_out_count=forget.held_out_count,
        total=forget.total,
        set_digest=forget.set_digest,
        rows_root=rows_root(fingerprints(key, set(forget.sample_ids()), batch.id)),
    )


def evaluation_of(measured: ForgetSet, forget: ForgetSet) -> EvaluationData | None:
    """What was measured on, where that is another data set."""
    if measured is forget:
        return None
    return EvaluationData(
        path=measured.spec.dataset, git_rev=measured.git_rev, dvc_md5=measured.dvc_md5
    )


def method_of(method: Unlearning, seed: int) -> Method:
    """The method with all its settings."""
    settings = flat_settings(method.model_dump(mode="json"))
    return Method(name=method.name, settings=settings, seed=seed)


def gates_of(decision: Decision) -> tuple[Gate, ...]:
    """The gates with what they measured."""
    return tuple(Gate.model_validate_json(gate.model_dump_json()) for gate in decision.gates)


def version_of(ref: VersionRef, weights: str, known: Mapping[str, str]) -> Version:
    """A version as statements name it, by its weights' digest and its tags."""
    return Version(
        uri=ref.uri,
        version=ref.number,
        weights_sha256=weights,
        served_sha256=known.get(tags.SERVED),
    )


@lru_cache
def code() -> Code:
    """Lethe's own code as it runs."""
    return running_code(_commit())


def _commit() -> str | None:
    """The commit of Lethe's own code when it runs from a checkout, else None."""
    from scmrepo.exceptions import SCMError
    from scmrepo.git import Git

    try:
        with Git(str(Path(__file__).parent.parent)) as repository:
            return str(repository.get_rev())
    except SCMError:
        return None
