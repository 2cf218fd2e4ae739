"""What an evaluation found: frozen models that survive a round trip through JSON.

Nothing here computes and nothing heavy is imported, so that settings and the command line can name
these types.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from lethe.evaluation.base import (
    FORGET_PARTS,
    HELD_OUT_PARTS,
    RETAINED_PARTS,
    Accuracy,
    Part,
    Result,
    Share,
)
from lethe.evaluation.calibration import Calibration
from lethe.evaluation.feature_level.readings import FeatureLevel
from lethe.evaluation.landing import Landing
from lethe.evaluation.membership import Membership

__all__ = [
    "FORGET_PARTS",
    "HELD_OUT_PARTS",
    "RETAINED_PARTS",
    "Accuracy",
    "CalibrationSides",
    "ClassRow",
    "Confidence",
    "Drift",
    "Evaluation",
    "MembershipSides",
    "Neighbour",
    "Part",
    "Partition",
    "Result",
    "Share",
]


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
    Distillation Really Work?" (arXiv 2106.05945, section 3). `reference_agreement` is that of
    parent and retrained network: two trainings of one network do not agree everywhere either.
    """

    count: int = Field(ge=1)
    agreement: Share
    kl: float | None
    reference_agreement: Share | None = None


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


class MembershipSides(Result):
    """The membership attack on parent, successor and retrained network."""

    before: Membership | None
    after: Membership | None
    reference: Membership | None = None


class CalibrationSides(Result):
    """Calibration of parent, successor and retrained network on retained held-out rows."""

    before: Calibration | None
    after: Calibration | None
    reference: Calibration | None = None


class Evaluation(Result):
    """A successor against its parent, and a retrained reference where there is one.

    Rows whose label the model does not know are left out of every accuracy: they would count as
    forgotten without anything having been forgotten. `unknown_labels` says how many there were.
    `broken_outputs` counts rows for which the successor's softmax is not finite. `patched` says
    that the successor is a network under a patch.
    """

    level: Literal["output", "feature"] = "output"
    classes: tuple[str, ...]
    forgotten: tuple[int, ...]
    before: Partition
    after: Partition
    reference: Partition | None = None
    per_class: tuple[ClassRow, ...] = ()
    drift: Drift | None = None
    confidence: Confidence | None = None
    membership: MembershipSides | None = None
    calibration: CalibrationSides | None = None
    landing: Landing | None = None
    features: FeatureLevel | None = None
    not_measured: tuple[Part, ...] = ()
    unknown_labels: int = Field(default=0, ge=0)
    broken_outputs: int = Field(default=0, ge=0)
    patched: bool = False

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
        found |= _numbers("drift", self.drift, ("agreement", "kl", "reference_agreement"))
        names = [name for name in Confidence.model_fields if name != "count"]
        found |= _numbers("confidence", self.confidence, names)
        for side in sides:
            attacked = getattr(self.membership, side, None)
            calibrated = getattr(self.calibration, side, None)
            found |= _numbers(f"membership.{side}", attacked, ("auc", "low", "high"))
            found |= _numbers(f"calibration.{side}", calibrated, ("ece", "brier"))
        if self.landing is not None:
            found |= _numbers("landing", self.landing.gap, ("total_variation", "row_variation"))
        features = {} if self.features is None else self.features.figures()
        return found | {f"features.{name}": value for name, value in features.items()}


def _numbers(prefix: str, result: Any, names: Sequence[str]) -> dict[str, float]:
    values = {name: getattr(result, name, None) for name in names}
    return {f"{prefix}.{name}": value for name, value in values.items() if value is not None}
