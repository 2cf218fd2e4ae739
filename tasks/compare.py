"""Measure two registered versions on the rows of a filed request."""

from collections.abc import Sequence

from prefect import task
from pydantic import BaseModel, ConfigDict

from lethe.data.forget_set import ForgetSet
from lethe.data.forget_set import resolve_forget_set as resolve
from lethe.data.selection import Selection
from lethe.data.union import AnyOf, merge
from lethe.deletion.ledger.types import Entry
from lethe.errors import ModelError
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.results import Evaluation
from lethe.evaluation.verdict import Decision, decide
from lethe.keys import record_key
from lethe.models.device import pick_device
from lethe.settings import Settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.lineage import class_names, forgotten_classes
from model_registry.pull import PulledVersion, pull_version
from tasks.decide import rows_by_part, without
from tasks.desk import Desk
from tasks.features import with_features
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY
from tasks.prepare import evaluation_set
from tasks.progress import progress
from tasks.retraining import NAME as RETRAIN


class Comparison(BaseModel):
    """One version measured against another."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: str
    against: str
    request_id: str
    evaluation: Evaluation
    decision: Decision


@task(**SAFE_TO_RETRY)
def pull_pair(
    settings: Settings, version: str, against: str | None
) -> tuple[PulledVersion, PulledVersion]:
    """The version to judge, and the one named or else its parent."""
    client = connect(settings)
    judged = pull_version(client, version, settings)
    other = against or judged.tags.get(tags.PARENT)
    if other is None:
        raise ModelError(
            f"{judged.ref} came from no other version. Nothing was measured. "
            f"Name one to compare with: `lethe evaluate {judged.ref} --against NAME/NUMBER`."
        )
    return judged, pull_version(client, other, settings)


@task(**SAFE_TO_RETRY)
def forget_set_of(
    desk: Desk, judged: PulledVersion, request_id: str | None
) -> tuple[ForgetSet, ForgetSet]:
    """The forget set of the request named, or of the version's own, and where to measure it.

    Raises:
        ModelError: if the version was made for no request, or it is no longer kept what one of
            them selected.
    """
    settings = desk.settings
    if request_id is not None:
        entries = [desk.ledger.get(request_id)]
    else:
        entries = desk.ledger.many.forgotten_by([str(judged.ref)])
    if not entries:
        raise ModelError(
            f"{judged.ref} was made for no deletion request in the ledger. Nothing was measured. "
            f"Name the rows by a filed request: `lethe evaluate {judged.ref} --request ID`."
        )
    spec = entries[0].request.forget
    selection = _selected(entries, judged, named=request_id is not None)
    pinned = judged.tags.get(tags.GIT_REV) if request_id is None else None
    forget = resolve(
        spec.model_copy(
            update={
                "selection": selection,
                "rev": pinned or spec.rev,
            }
        ),
        max_share=settings.data.max_share,
        key=record_key(settings.record_key_file),
        missing_ok=True,
    )
    return forget, evaluation_set(settings, entries[0].request, forget)


def _selected(
    entries: Sequence[Entry], judged: PulledVersion, *, named: bool
) -> Selection | AnyOf | None:
    """What requests select together.

    Of whole classes the version's tag still tells when the ledger does not: of all its requests
    together, not of a single one.
    """
    gone = [entry for entry in entries if entry.selection_gone]
    labels = tuple(class_names(judged))
    if gone and labels and not named:
        return Selection(classes=labels)
    if gone:
        raise ModelError(
            f"What {gone[0].id} selected is no longer kept (since {gone[0].purged_at:%Y-%m-%d}), "
            f"so its rows cannot be told any more. Nothing was measured. The record of then stays: "
            f"`lethe audit certificate {gone[0].id}`."
        )
    chosen = [one for entry in entries if (one := entry.request.forget.selection) is not None]
    return merge(chosen) if chosen else None


@task(**IN_MEMORY)
def compare(
    desk: Desk,
    judged: PulledVersion,
    other: PulledVersion,
    forget: ForgetSet,
    measured: ForgetSet,
    *,
    request_id: str | None,
) -> Comparison:
    """Measure both on the same rows and hold the figures against the thresholds."""
    settings = desk.settings
    classes = other.facts.classes or forget.info.classes
    before = forgotten_classes(connect(settings), other.ref)
    earlier = tuple(name for name in before if name not in forget.class_names)
    gone = {*forget.class_names, *earlier} if forget.kind == "class" else set()
    parts = rows_by_part(settings, forget, measured, without(classes, earlier))
    with progress("Evaluating") as report:
        evaluation = evaluate(
            other.network,
            judged.network,
            parts,
            classes=classes,
            forgotten=[index for index, name in enumerate(classes) if name in gone],
            device=pick_device(settings.device),
            seed=settings.seed,
            progress=report,
        )
    evaluation = with_features(settings, evaluation, other, judged.network, parts)
    return Comparison(
        version=str(judged.ref),
        against=str(other.ref),
        request_id=request_id or judged.tags[tags.REQUEST],
        evaluation=evaluation,
        decision=decide(
            evaluation,
            settings.gates,
            retrained=request_id is None and judged.tags.get(tags.METHOD) == RETRAIN,
        ),
    )
