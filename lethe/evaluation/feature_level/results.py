"""What the feature level found: frozen models that survive a round trip through JSON.

Nothing heavy is imported. A figure that could not be measured is None.
"""

from typing import Literal

from pydantic import Field, model_validator

from lethe.evaluation.base import Accuracy, Result, Share

Stop = Literal["steps", "recovered", "not_finite"]


class LayerCKA(Result):
    """How alike one layer of two networks is on `count` rows; 1 is the same up to rotation.

    `cka` is in [0, 1] and biased upwards when rows are few for the layer's width; `debiased` is
    in [-1, 1] and near 0 for unrelated features. None for features that are constant or not
    finite, and `debiased` also for fewer than four rows.
    """

    layer: str
    count: int = Field(ge=0)
    cka: Share | None
    debiased: float | None = Field(ge=-1, le=1)


class Spread(Result):
    """Accuracy on the same `count` rows over several repeats: mean, lowest, highest."""

    mean: Share
    lowest: Share
    highest: Share
    count: int = Field(ge=1)


class LinearProbe(Result):
    """Held-out accuracy of a new linear head on frozen features, over `repeats` draws of rows.

    `share` of the labelled rows was asked for; `rows` rows of `classes` classes were used in each
    repeat, as equally many per class as there are. Chance is 1 / `classes`.
    """

    share: Share
    rows: int = Field(ge=2)
    classes: int = Field(ge=2)
    repeats: int = Field(ge=1)
    forgotten: Spread | None
    retained: Spread | None


class ClassMeans(Result):
    """Share of held-out rows that lie nearest to the mean of their own class among `classes`.

    `means` says whose: the network's own, from labelled rows, or those the original had.
    """

    means: Literal["own", "original"]
    classes: int = Field(ge=2)
    forgotten: Accuracy | None
    retained: Accuracy | None


class RelearnCurve(Result):
    """Held-out accuracy while the network learns `rows` labelled rows again.

    `steps` are the numbers of updates after which was measured, 0 first; `forget` and `retained`
    the accuracy then, on `forget_count` and `retained_count` rows; `claimed` the share of the
    retained rows that were answered with a forgotten class. `planned` are the updates that were
    allowed; `stopped` says why it ended. `forget_only` marks the weak kind, and
    `fresh_head` a start from a last layer of zeros: see `relearn`.
    """

    steps: tuple[int, ...] = Field(min_length=1)
    forget: tuple[Share, ...]
    retained: tuple[Share, ...] | None
    claimed: tuple[Share, ...] | None
    forget_count: int = Field(ge=1)
    retained_count: int = Field(ge=0)
    rows: int = Field(ge=1)
    planned: int = Field(ge=1)
    forget_only: bool
    fresh_head: bool
    stopped: Stop

    @model_validator(mode="after")
    def _one_accuracy_per_step(self) -> "RelearnCurve":
        columns = (self.forget, self.retained, self.claimed)
        if any(column is not None and len(column) != len(self.steps) for column in columns):
            message = f"{len(self.steps)} steps need as many accuracies"
            raise ValueError(message)
        if self.steps[0] != 0 or list(self.steps) != sorted(set(self.steps)):
            message = "steps rise from 0"
            raise ValueError(message)
        return self
