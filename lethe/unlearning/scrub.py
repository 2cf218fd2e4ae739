"""SCRUB (Kurmanji et al. 2023, arXiv 2302.09880): leave the teacher on forget rows, stay elsewhere.

    method = Scrub()
    edit = method.edit(model, forget, method.probe(model, forget, context), context)

The teacher is the original. The first `max_epochs` begin with a pass over the forget rows that
raises KL(teacher || student); every epoch ends with one over the retained rows that lowers
gamma CE + alpha KL. A reference for comparison: it needs the retained rows.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.unlearning.pairs import forget_only, retained_only
from lethe.unlearning.retain_edit import Course, Pair, Seen, cross_entropy
from lethe.unlearning.retain_method import Given, RetainMethod
from lethe.unlearning.teachers import divergence, frozen


class Scrub(RetainMethod):
    """Settings of SCRUB; the names of the weights are those of the paper."""

    name: ClassVar[str] = "scrub"

    optimizer: Literal["adam", "sgd"] = Field(
        default="adam", description="Adam, or SGD with momentum 0.9"
    )
    learning_rate: float = Field(default=5e-4, gt=0, description="of the optimizer, constant")
    weight_decay: float = Field(default=0.1, ge=0, description="of the optimizer, on the gradient")
    alpha: float = Field(default=0.5, ge=0, description="weight of the KL on retained rows")
    gamma: float = Field(default=1.0, ge=0, description="weight of the CE on retained rows")
    temperature: float = Field(default=2.0, gt=0, description="temperature of both KL")
    max_epochs: int = Field(default=3, ge=0, description="first epochs that have a max-step")

    def course(self, given: Given) -> Course:
        """Alternate max-steps and min-steps."""
        teacher = frozen(given.model, given.context.device)

        def pairs(epoch: int, generator: torch.Generator) -> Iterator[Pair]:
            if epoch < self.max_epochs:
                yield from forget_only(given.forget.rows, self.batch_size, generator)
            yield from retained_only(given.retained, self.batch_size, generator)

        def losses(
            _: nn.Module, gone: Seen | None, kept: Seen | None, __: int
        ) -> Mapping[str, Tensor]:
            terms = {}
            if gone is not None:  # the max-step
                left = divergence(gone.logits, teacher(gone.x), self.temperature)
                terms["leave"] = -left.mean()
            if kept is not None:  # the min-step
                stayed = divergence(kept.logits, teacher(kept.x), self.temperature)
                terms["retained"] = self.gamma * cross_entropy(kept)
                terms["stay"] = self.alpha * stayed.mean()
            return terms

        return Course(pairs, losses, ("leave", "retained", "stay"))
