"""What an evaluation found: frozen models that survive a round trip through JSON.

Nothing here computes and nothing heavy is imported, so that settings and the command line can name
these types. All shares are in [0, 1]; a figure that could not be measured, or that is not a finite
number, is None and never a made-up value.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Part(StrEnum):
    """Which rows: asked to be forgotten or not, seen in training or not."""

    FORGET_TRAIN = "forget_train"
    FORGET_HELD_OUT = "forget_held_out"
    RETAINED_TRAIN = "retained_train"
    RETAINED_HELD_OUT = "retained_held_out"

    @property
    def words(self) -> str:
        """The rows' name in plain words."""
        fate, _, seen = self.value.partition("_")
        side = "forgotten" if fate == "forget" else fate
        return f"{side} {'training' if seen == 'train' else 'held-out'} rows"


FORGET_PARTS = (Part.FORGET_TRAIN, Part.FORGET_HELD_OUT)
RETAINED_PARTS = (Part.RETAINED_TRAIN, Part.RETAINED_HELD_OUT)
HELD_OUT_PARTS = (Part.RETAINED_HELD_OUT, Part.FORGET_HELD_OUT)


class Result(BaseModel):
    """Base of all results."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Accuracy(Result):
    """Correct rows among counted rows, with the exact 95 % interval of the share.

    `low` and `high` are Clopper and Pearson's limits (Biometrika 26, 1934), which hold for small
    counts and for shares of 0 and 1: no row right out of 37 still allows for up to 9.5 %.
    """

    correct: int = Field(ge=0)
    count: int = Field(ge=1)
    share: Share
    low: Share
    high: Share

    @classmethod
    def of(cls, correct: int, count: int) -> "Accuracy | None":
        """The accuracy of `correct` in `count` rows; None when there are no rows."""
        from scipy.special import betaincinv

        if not count:
            return None
        wrong = count - correct
        # The quantiles of the beta distribution; a batch may ask for a thousand of them.
        low = float(betaincinv(correct, wrong + 1, 0.025)) if correct else 0.0
        high = float(betaincinv(correct + 1, wrong, 0.975)) if wrong else 1.0
        return cls(correct=correct, count=count, share=correct / count, low=low, high=high)


class Partition(Result):
    """Accuracy on each of the four parts; None where the part was not given."""

    forget_train: Accuracy | None = None
    forget_held_out: Accuracy | None = None
    retained_train: Accuracy | None = None
    retained_held_out: Accuracy | None = None

    def get(self, part: Part) -> Accuracy | None:
        """The accuracy on one part."""
        found: Accuracy | None = getattr(self, part.value)
        return found


class Neighbour(Result):
    """Another class that rows of a class are taken for, and the share of rows."""

    label: str
    share: Share


class ClassRow(Result):
    """One class on held-out rows: correct rows before and after, and where the rows go now.

    `before`, `after` and `reference` are accuracies; `count` is the number of rows; `nearest` are
    up to three other classes that the successor takes these rows for, most frequent first.
    """

    label: str
    forgotten: bool
    count: int = Field(ge=1)
    before: Share
    after: Share
    reference: Share | None = None
    nearest: tuple[Neighbour, ...] = ()


class Drift(Result):
    """How far the successor's outputs moved on retained held-out rows.

    Both models' outputs are restricted to the retained classes and renormalised, since taking
    mass from the forgotten classes is what was asked for. `agreement` is the share of rows with
    the same most probable class; `kl` the mean KL(parent || successor) in nats, None when it is
    not finite. These are top-1 agreement and predictive KL of Stanton et al. 2021, "Does Knowledge
    Distillation Really Work?" (arXiv 2106.05945, section 3).
    """

    count: int = Field(ge=1)
    agreement: Share
    kl: float | None


class Confidence(Result):
    """How strongly the models still hold the forget rows (training and held-out together).

    `p_*` is the mean probability of the forgotten classes together, or of the row's own label when
    no whole class is forgotten; `named_*` the share of rows whose most probable class is a
    forgotten one (None without forgotten classes); `entropy_*` the mean entropy of the output in
    nats. None where the model's outputs are not finite.
    """

    count: int = Field(ge=1)
    p_before: Share | None
    p_after: Share | None
    named_before: Share | None
    named_after: Share | None
    entropy_before: float | None
    entropy_after: float | None


class Evaluation(Result):
    """Output-level evaluation of a successor against its parent, and a retrained reference.

    Rows whose label the model does not know are left out of every accuracy: they would count as
    forgotten without anything having been forgotten. `unknown_labels` says how many there were.
    `broken_outputs` counts rows for which the successor's softmax is not finite.
    """

    level: Literal["output"] = "output"
    classes: tuple[str, ...]
    forgotten: tuple[int, ...]
    before: Partition
    after: Partition
    reference: Partition | None = None
    per_class: tuple[ClassRow, ...] = ()
    drift: Drift | None = None
    confidence: Confidence | None = None
    not_measured: tuple[Part, ...] = ()
    unknown_labels: int = Field(default=0, ge=0)
    broken_outputs: int = Field(default=0, ge=0)

    @property
    def forgotten_labels(self) -> tuple[str, ...]:
        """Names of the forgotten classes."""
        return tuple(self.classes[index] for index in self.forgotten)

    def figures(self) -> dict[str, float]:
        """Every single measured figure under a flat name, for metrics and records."""
        found: dict[str, float] = {}
        sides = {"before": self.before, "after": self.after, "reference": self.reference}
        for side, partition in sides.items():
            for part in Part:
                accuracy = partition and partition.get(part)
                if accuracy:
                    found[f"{side}.{part}"] = accuracy.share
        found |= _numbers("drift", self.drift, ("agreement", "kl"))
        names = [name for name in Confidence.model_fields if name != "count"]
        return found | _numbers("confidence", self.confidence, names)


def _numbers(prefix: str, result: Result | None, names: Sequence[str]) -> dict[str, float]:
    values = {name: getattr(result, name, None) for name in names}
    return {f"{prefix}.{name}": value for name, value in values.items() if value is not None}
