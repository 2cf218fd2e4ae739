"""The ladder of a batch: which methods are tried in turn, why, and what became of each."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from prefect import task
from pydantic import BaseModel, ConfigDict

from lethe.choosing import AUTO, Facts, choose
from lethe.data.forget_set import ForgetSet
from lethe.data.training_card import TrainingCard
from lethe.deletion.ledger.types import Batch
from lethe.deletion.policy.judge import Rung
from lethe.errors import LetheError
from lethe.settings import Settings
from lethe.unlearning.method import Method
from model_registry import tags
from model_registry.connection import connect, experiment_id
from model_registry.pull import PulledVersion
from model_registry.run import find_artifact
from tasks.earlier import Earlier
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY
from tasks.prepare import load_way, may_learn_from_retained

if TYPE_CHECKING:
    from mlflow import MlflowClient

Ended = Literal["refused", "accepted", "unable", "not_tried"]
LONGEST = 2000


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Way(_Plain):
    """One step: a method with its options, why it is there, and what became of it."""

    method: str
    options: dict[str, Any]
    because: str
    outcome: Ended = "not_tried"
    said: str | None = None
    run_id: str | None = None

    def load(self) -> Method:
        """The method with these options."""
        return load_way(self.method, self.options)


class LeftOut(_Plain):
    """A method that `auto` could have chosen, and why it did not."""

    method: str
    because: str


class Climb(_Plain):
    """A ladder on its way up; as an artifact of each run, what a killed run goes on with.

    `asked` are the steps as they were named, `auto` among them; `facts` is what `auto` chose by.
    """

    asked: tuple[tuple[str, dict[str, Any] | None], ...]
    facts: dict[str, Any]
    ways: tuple[Way, ...]
    left_out: tuple[LeftOut, ...] = ()

    def noted(
        self, at: int, outcome: Ended, said: str | None = None, run_id: str | None = None
    ) -> "Climb":
        """The same with what became of one step."""
        words = None if said is None else " ".join(said.split())[:LONGEST]
        change = {"outcome": outcome, "said": words, "run_id": run_id}
        ways = (*self.ways[:at], self.ways[at].model_copy(update=change), *self.ways[at + 1 :])
        return self.model_copy(update={"ways": ways})

    def failed_before(self, at: int) -> bool:
        """Whether every step before this one is known not to have led there."""
        return all(way.outcome in {"refused", "unable"} for way in self.ways[:at])

    def words(self) -> str:
        """What was tried in turn, on one line."""
        return "; ".join(
            f"{way.method} {way.outcome}" for way in self.ways if way.outcome != "not_tried"
        )


@task(**IN_MEMORY)
def choose_ways(
    settings: Settings,
    ladder: Sequence[Rung],
    parent: PulledVersion,
    forget: ForgetSet,
    earlier: Earlier,
) -> Climb:
    """The ladder of this forget set: what was named, with the steps that `auto` stands for.

    Raises:
        MethodError: if `auto` is among it and nothing fits.
    """
    facts = facts_of(parent, forget, earlier)
    ways: list[Way] = []
    left_out: tuple[LeftOut, ...] = ()
    for rung in ladder:
        if rung.method == AUTO:
            chosen = choose(facts)
            left_out = tuple(LeftOut(method=o.method, because=o.because) for o in chosen.left_out)
            found = [
                Way(method=one.method, options={}, because=one.because) for one in chosen.rungs
            ]
        else:
            options = dict(options_of(settings, rung.method, rung.options) or {})
            found = [Way(method=rung.method, options=options, because=rung.because)]
        known = [(way.method, way.options) for way in ways]
        ways += [way for way in found if (way.method, way.options) not in known]
    return Climb(asked=_asked(ladder), facts=facts.noted(), ways=tuple(ways), left_out=left_out)


def facts_of(parent: PulledVersion, forget: ForgetSet, earlier: Earlier) -> Facts:
    """What `auto` chooses by."""
    classes = parent.facts.classes or forget.info.classes
    card = parent.card()
    gone = set(earlier.classes) | set(forget.class_names if forget.kind == "class" else ())
    return Facts(
        kind=forget.kind,
        rows=forget.count,
        total=forget.total,
        classes_left=len(set(classes) - gone),
        card=_tells(card, lambda one: one.loss_quantiles("held_out")),
        means=_tells(card, lambda one: one.known_means()),
        retained=forget.count < forget.total and may_learn_from_retained(forget, earlier),
        recipe=parent.facts.training is not None,
    )


def _tells(card: TrainingCard | None, ask: Callable[[TrainingCard], object]) -> bool:
    try:
        return card is not None and bool(ask(card))
    except LetheError:
        return False


def options_of(
    settings: Settings, name: str, options: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The options of a method as it was named: those of the settings if it is theirs."""
    if options is None and name == settings.unlearning.method:
        return settings.unlearning.options
    return options


@task(**SAFE_TO_RETRY)
def taken_up(settings: Settings, batch: Batch, ladder: Sequence[Rung]) -> Climb | None:
    """The ladder that this batch was on before it was cut short; None if it had not begun.

    None too where other steps were named since.
    """
    client = connect(settings)
    for run in _runs_of(client, settings, batch):
        path = find_artifact(client, run, tags.LADDER_FILE)
        if path is not None:
            found = Climb.model_validate_json(path.read_bytes())
            return found if found.asked == _asked(ladder) else None
    return None


def _asked(ladder: Sequence[Rung]) -> tuple[tuple[str, dict[str, Any] | None], ...]:
    return tuple((rung.method, rung.options) for rung in ladder)


def _runs_of(client: "MlflowClient", settings: Settings, batch: Batch) -> list[str]:
    """Runs of this batch, the newest first."""
    found = client.search_runs(
        [experiment_id(client, settings)],
        f"tags.`{tags.BATCH}` = '{batch.id}'",
        order_by=["attributes.start_time DESC"],
    )
    return [str(run.info.run_id) for run in found]
