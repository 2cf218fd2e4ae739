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

from lethe.unlearning.method import Context, Edit, ForgetKind, ForgetTarget, Instructions, Need
from lethe.unlearning.pairs import retained_only
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


class FineTune(RetainEdit):
    """Settings of fine-tuning on retained rows."""

    name: ClassVar[str] = "fine_tune"
    needs: ClassVar[Need] = "retain"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})

    learning_rate: float = Field(default=0.02, gt=0, description="of the optimizer, constant")
    epochs: int = Field(default=5, ge=1, description="epochs, all of which are run")

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
        """Train a copy on the retained rows.

        Raises:
            MethodError: if there are no retained rows, the instructions belong to other rows, or
                the edit diverges.
        """
        retained = retained_rows(forget, self.name)
        check_instructions(instructions, forget, self.name)

        def pairs(_: int, generator: torch.Generator) -> Iterator[Pair]:
            return retained_only(retained, self.batch_size, generator)

        def losses(
            _: nn.Module, __: Seen | None, kept: Seen | None, ___: int
        ) -> Mapping[str, Tensor]:
            return {"retained": cross_entropy(kept)} if kept is not None else {}

        course = Course(pairs, losses, ("retained",))
        return edit_with_retained(model, forget, context, self, course)
