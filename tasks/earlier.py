"""What the line of a version forgot before: it must stay forgotten, and need not be done again."""

from dataclasses import dataclass

from prefect import task

from lethe.data.coverage import covered
from lethe.data.forget_set import ForgetSet, resolve_forget_set
from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.data.union import AnyOf, merge
from lethe.deletion.ledger.types import Entry
from lethe.errors import ForgetSetError
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
    """One version of the line and a selection that it was made to forget."""

    version: str
    dataset: str
    selection: Selection | AnyOf | None


@dataclass(frozen=True)
class Earlier:
    """Everything the line forgot, oldest first, by the ledger or else by MLflow's tags."""

    steps: tuple[Step, ...] = ()
    classes: tuple[str, ...] = ()

    def on(self, dataset: str) -> list[Selection | AnyOf]:
        """What was selected in one data set."""
        return [s.selection for s in self.steps if s.dataset == dataset and s.selection is not None]

    def covering(self, spec: ForgetSpec) -> str | None:
        """The oldest version by which all that a request asks for was forgotten."""
        if spec.whole:
            return None
        known: list[Selection | AnyOf] = []
        for step in self.steps:
            if step.dataset == spec.dataset and step.selection is not None:
                known.append(step.selection)
                if covered(spec.selection, known):
                    return step.version
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
        labels = class_names(record)
        classes += labels
        steps += [
            Step(name, entry.request.forget.dataset, entry.request.forget.selection)
            for entry in known[name]
            if not entry.request.forget.whole
        ]
        if labels and not known[name]:
            steps.append(Step(name, record.tags[tags.DATASET], Selection(classes=tuple(labels))))
    return Earlier(tuple(steps), tuple(dict.fromkeys(classes)))


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
    """
    before = earlier.on(forget.spec.dataset)
    if not before or forget.spec.selection is None:
        return forget
    spec = forget.spec.model_copy(update={"selection": merge([forget.spec.selection, *before])})
    return resolve_forget_set(
        spec, max_share=1.0, key=record_key(settings.record_key_file), missing_ok=True
    )
