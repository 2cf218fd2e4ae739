"""What all results are made of: frozen models without made-up values; nothing heavy is imported.

All shares are in [0, 1]; a figure that could not be measured, or that is not a finite number, is
None.
"""

from enum import StrEnum
from typing import Annotated

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
