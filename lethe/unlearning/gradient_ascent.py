"""Gradient ascent on the forget rows (GA, NegGrad), bounded: the plainest of all edits.

    edit = GradientAscent().edit(model, forget, instructions, context)

Unbounded ascent wrecks a network, so each row is let go once its loss is that of a uniform guess,
gradients are clipped, and the edit ends when the rows are forgotten.
"""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetKind,
    ForgetTarget,
    Instructions,
    Need,
    Searches,
)
from lethe.unlearning.row_edit import Plan, RowEdit, Sample, edit_rows, survey_rows
from lethe.unlearning.survey import check_instructions


def bounded_ascent(logits: Tensor, barred: Tensor, bound: float = 1.0) -> Tensor:
    """min(0, bound * log K - CE), (B,): the cross-entropy climbed up to a bound, there flat.

    Args:
        logits: (B, K).
        barred: mask (B, K) of what each row may not be recognised as; CE is -log of its mass.
        bound: in cross-entropies of a uniform guess over K classes. From 1 on a row ends below
            1/K, so that some other class is more likely.
    """
    mass = logits.masked_fill(~barred, -torch.inf).logsumexp(1) - logits.logsumexp(1)
    return (mass + bound * math.log(logits.shape[1])).clamp_min(0)


class GradientAscent(RowEdit):
    """Settings of gradient ascent."""

    name: ClassVar[str] = "gradient_ascent"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})
    searches: ClassVar[Searches] = {
        "learning_rate": (5e-5, 1e-4, 2e-4, 5e-4, 1e-3),
        "weights": ("uniform", "influence"),
    }

    bound: float = Field(
        default=1.0, gt=0, description="loss at which a row is let go, in uniform guesses"
    )
    intensity: float = Field(
        default=1.0, ge=0, le=1, description="from unchanged (0) to fully forgotten (1)"
    )
    edited_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the layers that change, from the output"
    )

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Ask the original about every row, and weigh the rows if they are to be.

        Raises:
            MethodError: if the model cannot forget them.
        """
        found = survey_rows(self, model, forget, context)
        return found.instructions({"teacher_logits": found.logits})

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Climb the loss of a copy.

        Raises:
            MethodError: if the instructions belong to other rows, or the edit diverges.
        """
        check_instructions(instructions, forget, self.name, ("teacher_logits",))
        teacher = instructions.tensors["teacher_logits"]

        def push(_: nn.Module, sample: Sample, logits: Tensor) -> Tensor:
            return bounded_ascent(logits, sample.barred, self.bound)

        plan = Plan(push, self.edited_share, intensity=self.intensity, teacher=teacher)
        return edit_rows(model, forget, instructions, context, self, plan=plan)
