"""Forgetting intensity: one number that takes an edit from "unchanged" (0) to "full" (1).

    pivot = Pivot(intensity=0.5, target=0.0)
    loss = pivot.loss(recognised, away=push, hold=pull, back=restoring(logits, teacher).mean())

CUP (Hwang and Lim 2025, arXiv 2510.19226) walks the front between forgetting and fidelity by such
a number, by pivoting the gradient. Its rule is not public; this one is **our own**:

- Forget rows may stay recognised up to the share `allowed` = target + (1 - intensity)(1 - target).
- A step that recognises more of its rows than that follows the edit's own gradient.
- Any other step pivots: instead of forgetting it goes back to the original, by 1 - intensity times
  the gradient of KL(original || edited) over all classes. What holds the rest stays in both.

So the edit is steered to the share that is asked for, from both sides. At 1 every step is the
edit's own, and at 0 there is none.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lethe.unlearning.losses import pull_rows
from lethe.unlearning.method import Edit
from lethe.unlearning.schedule import Outcome


@dataclass(frozen=True)
class Pivot:
    """How far to go: `target` is the share of forget rows that a full edit lets stay recognised."""

    intensity: float
    target: float

    @property
    def allowed(self) -> float:
        """Share of forget rows that may stay recognised."""
        return self.target + (1 - self.intensity) * (1 - self.target)

    def loss(self, recognised: Tensor, *, away: Tensor, hold: Tensor, back: Tensor) -> Tensor:
        """What a step descends.

        Args:
            recognised: share () of the step's forget rows.
            away: what forgets, ().
            hold: what holds the rest, ().
            back: what leads back to the original, ().
        """
        if float(recognised) > self.allowed:
            return away + hold
        return hold + (1 - self.intensity) * back

    def sentence(self, outcome: Outcome) -> str:
        """How far the edit went, in place of the schedule's sentence."""
        found = outcome.curves["forget_accuracy"]
        return (
            f"Intensity {self.intensity:g}: {found[-1]:.1%} recognised after {len(found)} epochs, "
            f"{self.allowed:.1%} allowed."
        )


def pivot_of(intensity: float, target: float) -> Pivot | None:
    """The pivot of an edit below full intensity."""
    return None if intensity == 1 else Pivot(intensity, target)


def restoring(logits: Tensor, teacher: Tensor) -> Tensor:
    """KL(original || edited) over all classes, (B,), from logits (B, K) of both."""
    return pull_rows(logits, teacher, torch.zeros_like(logits, dtype=torch.bool))


def unchanged(model: nn.Module, curves: Sequence[str]) -> Edit:
    """The edit at intensity 0: a copy of the model, on the CPU and in eval mode."""
    return Edit(
        model=copy.deepcopy(model).cpu().eval(),
        curves={name: [] for name in curves},
        epochs=0,
        seconds=0.0,
        stopped="Intensity 0: the model was left as it is.",
    )
