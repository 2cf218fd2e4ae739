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

from lethe.unlearning.pairs import cycled
from lethe.unlearning.retain_edit import Course, Pair, Seen, cross_entropy
from lethe.unlearning.retain_method import Given, RetainMethod


class NegGradPlus(RetainMethod):
    """Settings of NegGrad+."""

    name: ClassVar[str] = "neggrad_plus"

    clip: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    alpha: float = Field(default=0.99, gt=0, le=1, description="weight of the retained rows")

    def course(self, given: Given) -> Course:
        """Minimise alpha CE(retained) - (1 - alpha) CE(forget)."""

        def pairs(_: int, generator: torch.Generator) -> Iterator[Pair]:
            return cycled(given.forget.rows, given.retained, self.batch_size, generator)

        def losses(
            _: nn.Module, gone: Seen | None, kept: Seen | None, __: int
        ) -> Mapping[str, Tensor]:
            terms = {}
            if kept is not None:
                terms["retained"] = self.alpha * cross_entropy(kept)
            if gone is not None:
                terms["ascent"] = (self.alpha - 1) * F.cross_entropy(gone.logits, gone.y)
            return terms

        return Course(pairs, losses, ("retained", "ascent"))
