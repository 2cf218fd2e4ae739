"""NegGrad+ (Kurmanji et al. 2023, arXiv 2302.09880): descent on retained rows, ascent on the rest.

    method = NegGradPlus()
    edit = method.edit(model, forget, method.probe(model, forget, context), context)

A reference for comparison: it needs the retained rows.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lethe.unlearning.method import Context, Edit, ForgetKind, ForgetTarget, Instructions, Need
from lethe.unlearning.pairs import cycled
from lethe.unlearning.retain_edit import (
    Course,
    Pair,
    RetainEdit,
    Seen,
    cross_entropy,
    edit_with_retained,
    retained_rows,
)
from lethe.unlearning.survey import check_instructions, survey


class NegGradPlus(RetainEdit):
    """Settings of NegGrad+."""

    name: ClassVar[str] = "neggrad_plus"
    needs: ClassVar[Need] = "retain"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})

    clip: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    alpha: float = Field(default=0.99, gt=0, le=1, description="weight of the retained rows")

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Count what is recognised; there is nothing to find.

        Raises:
            MethodError: if there are no retained rows, or the model cannot forget the others.
        """
        retained_rows(forget, self.name)
        return survey(model, forget, context, self.batch_size).instructions({})

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Minimise alpha CE(retained) - (1 - alpha) CE(forget) in a copy.

        Raises:
            MethodError: if there are no retained rows, the instructions belong to other rows, or
                the edit diverges.
        """
        retained = retained_rows(forget, self.name)
        check_instructions(instructions, forget, self.name)

        def pairs(_: int, generator: torch.Generator) -> Iterator[Pair]:
            return cycled(forget.rows, retained, self.batch_size, generator)

        def losses(
            _: nn.Module, gone: Seen | None, kept: Seen | None, __: int
        ) -> Mapping[str, Tensor]:
            terms = {}
            if kept is not None:
                terms["retained"] = self.alpha * cross_entropy(kept)
            if gone is not None:
                terms["ascent"] = (self.alpha - 1) * F.cross_entropy(gone.logits, gone.y)
            return terms

        course = Course(pairs, losses, ("retained", "ascent"))
        return edit_with_retained(model, forget, context, self, course)
