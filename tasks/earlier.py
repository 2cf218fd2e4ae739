"""What the line of a version forgot before: it must stay forgotten, and need not be done again."""

from dataclasses import dataclass
from typing import Any

from prefect import task

from lethe.data.coverage import covered
from lethe.data.forget_set import ForgetSet, resolve_forget_set
from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.data.union import AnyOf, merge
from lethe.deletion.ledger.types import Entry, Facts
from lethe.errors import ForgetSetError, ModelError
from lethe.keys import record_key
from lethe.settings import Settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.lineage import ancestry, class_names
from model_registry.pull import PulledVersion
from tasks.desk import Desk
from tasks.policy import SAFE_TO_RETRY


@dataclass(frozen=True)
class Step:
    """One version of the line and what it was made to forget, as far as that is known.

    `selection` is None for what no selection can take out of a data set: a data set that was made
    to be forgotten, a request of another ledger, or one of which it is no longer kept what it
    selected (`gone`). `repository` is None with the second.
    """

    version: str
    repository: str | None
    dataset: str | None
    selection: Selection | AnyOf | None
    facts: Facts
    gone: bool = False

    def is_in(self, spec: ForgetSpec) -> bool:
        """Whether it was selected from the same data set."""
        return (self.repository, self.dataset) == (spec.repository, spec.dataset)


@dataclass(frozen=True)
class Earlier:
    """Everything the line forgot, oldest first, by the ledger or else by MLflow's tags."""

    steps: tuple[Step, ...] = ()
    classes: tuple[str, ...] = ()

    def on(self, spec: ForgetSpec) -> list[Selection | AnyOf]:
        """What was selected in the data set that a spec names."""
        return [s.selection for s in self.steps if s.is_in(spec) and s.selection is not None]

    def can_be_left_out(self, spec: ForgetSpec) -> bool:
        """Whether all of it can be taken out of the data set that a spec names."""
        return all(step.is_in(spec) and step.selection is not None for step in self.steps)

    @property
    def gone(self) -> int:
        """How many earlier requests cannot be told any more: what they selected is not kept."""
        return sum(step.gone for step in self.steps)

    def covering(self, spec: ForgetSpec) -> Step | None:
        """The oldest step by which all that a request asks for was forgotten."""
        if spec.whole:
            return None
        known: list[Selection | AnyOf] = []
        for step in self.steps:
            if step.is_in(spec) and step.selection is not None:
                known.append(step.selection)
                if covered(spec.selection, known):
                    return step
        return None


@task(**SAFE_TO_RETRY)
def look_back(desk: Desk, parent: PulledVersion) -> Earlier:
    """What the parent and its ancestors were made to forget."""
    line = list(ancestry(connect(desk.settings), parent.ref))[::-1]
    names = [f"{record.name}/{record.version}" for record in line]
    known: dict[str, list[Entry]] = {name: [] for name in names}
    for entry in desk.ledger.many.forgotten_by(names):
        known[str(entry.facts.successor)].append(entry)
    steps: list[Step] = []
    classes: list[str] = []
    for name, record in zip(names, line, strict=True):
        if tags.STATEMENT not in record.tags:
            continue  # trained, or cut short
        classes += class_names(record)
        facts = Facts(
            parent=record.tags.get(tags.PARENT),
            successor=name,
            verdict=record.tags.get(tags.VERDICT),
            run_id=record.run_id,
            statement=record.tags[tags.STATEMENT],
        )
        for entry in known[name]:
            if entry.selection_gone:
                steps.append(_purged(entry, name, record, facts))
                continue
            spec = entry.request.forget
            if spec.selection is not None and spec.selection.kind == "class":
                classes += spec.selection.classes or ()
            selection = None if spec.whole else spec.selection
            steps.append(Step(name, spec.repository, spec.dataset, selection, facts))
        if not known[name]:
            steps.append(_unknown(desk.settings, name, record, facts))
    return Earlier(tuple(steps), tuple(dict.fromkeys(classes)))


def _purged(entry: Entry, name: str, record: Any, facts: Facts) -> Step:
    """A request whose selection is no longer kept: whole classes are named by the version's tags.

    All classes of the version stand for each such request: it forgot them together.
    """
    spec, labels = entry.request.forget, tuple(class_names(record))
    selection = None
    if entry.selected_by == "class" and labels and not spec.whole:
        selection = Selection(classes=labels)
    gone = selection is None and not spec.whole
    return Step(name, spec.repository, spec.dataset, selection, facts, gone)


def _unknown(settings: Settings, name: str, record: Any, facts: Facts) -> Step:
    """A version that this ledger knows no request of: its classes are named by its tags."""
    labels = tuple(class_names(record))
    if not labels:
        return Step(name, None, None, None, facts)
    # As Lethe files requests itself: data in the project's own repository.
    repository, dataset = settings.data.repository, record.tags.get(tags.DATASET)
    return Step(name, repository, dataset, Selection(classes=labels), facts)


def classes_to_measure_again(
    settings: Settings, earlier: Earlier, measured: ForgetSet
) -> ForgetSet | None:
    """The classes that the line forgot before, in the data that is measured on; None without any.

    None too when that data does not hold them: then there is nothing left to measure.
    """
    names = [
        name
        for name in earlier.classes
        if name not in measured.class_names and name in measured.info.classes
    ]
    if not names:
        return None
    spec = measured.spec.model_copy(
        update={"selection": Selection(classes=tuple(names)), "whole": False}
    )
    try:
        return resolve_forget_set(spec, max_share=1.0, key=record_key(settings.record_key_file))
    except ForgetSetError:
        return None


def with_earlier(settings: Settings, earlier: Earlier, forget: ForgetSet) -> ForgetSet:
    """The forget set together with all that was forgotten before in the same data.

    What remains beside it is what a network may be retrained on.

    Raises:
        ModelError: if it is no longer kept what an earlier request selected in that data.
    """
    if any(step.gone and step.is_in(forget.spec) for step in earlier.steps):
        raise ModelError(
            f"No network can be retrained without all that was forgotten before: what "
            f"{earlier.gone} earlier requests selected is no longer kept and would be learned "
            f"again. Nothing was registered. Leave retraining and --reference out."
        )
    before = earlier.on(forget.spec)
    if not before or forget.spec.selection is None:
        return forget
    spec = forget.spec.model_copy(update={"selection": merge([forget.spec.selection, *before])})
    return resolve_forget_set(
        spec, max_share=1.0, key=record_key(settings.record_key_file), missing_ok=True
    )
