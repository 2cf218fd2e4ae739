"""Fine-tuning on retained rows (FT): training goes on without the forget rows.

    method = FineTune()
    edit = method.edit(model, forget, method.probe(model, forget, context), context)

A reference for comparison: it needs the retained rows.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.unlearning.pairs import retained_only
from lethe.unlearning.retain_edit import Course, Pair, Seen, cross_entropy
from lethe.unlearning.retain_method import Given, RetainMethod


class FineTune(RetainMethod):
    """Settings of fine-tuning on retained rows."""

    name: ClassVar[str] = "fine_tune"

    learning_rate: float = Field(default=0.02, gt=0, description="of the optimizer, constant")
    epochs: int = Field(default=5, ge=1, description="epochs, all of which are run")

    def course(self, given: Given) -> Course:
        """The retained rows alone, by their own labels."""

        def pairs(_: int, generator: torch.Generator) -> Iterator[Pair]:
            return retained_only(given.retained, self.batch_size, generator)

        def losses(
            _: nn.Module, __: Seen | None, kept: Seen | None, ___: int
        ) -> Mapping[str, Tensor]:
            return {"retained": cross_entropy(kept)} if kept is not None else {}

        return Course(pairs, losses, ("retained",))
