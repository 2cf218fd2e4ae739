"""Bad Teacher (Chundawat et al. 2023, arXiv 2205.08096): two teachers, one that knows nothing.

    method = BadTeacher()
    edit = method.edit(model, forget, method.probe(model, forget, context), context)

On forget rows the student learns from a freshly initialised network, on a part of the retained rows
from the original. A reference for comparison: it needs the retained rows.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.unlearning.method import Context, Edit, ForgetKind, ForgetTarget, Instructions, Need
from lethe.unlearning.pairs import mixed
from lethe.unlearning.retain_edit import (
    Course,
    Pair,
    RetainEdit,
    Seen,
    edit_with_retained,
    retained_rows,
)
from lethe.unlearning.survey import check_instructions, survey
from lethe.unlearning.teachers import divergence, frozen, untrained


class BadTeacher(RetainEdit):
    """Settings of Bad Teacher."""

    name: ClassVar[str] = "bad_teacher"
    needs: ClassVar[Need] = "retain"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})

    optimizer: Literal["adam", "sgd"] = Field(
        default="adam", description="Adam, or SGD with momentum 0.9"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="of the optimizer, constant")
    temperature: float = Field(default=1.0, gt=0, description="temperature of both KL")
    retained_share: float = Field(
        default=0.3, gt=0, le=1, description="share of the retained rows that take part"
    )

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
        """Distil both teachers into a copy.

        Raises:
            MethodError: if there are no retained rows, the instructions belong to other rows, or
                the edit diverges.
        """
        retained = retained_rows(forget, self.name)
        check_instructions(instructions, forget, self.name)
        good = frozen(model, context.device)
        bad = frozen(untrained(model, context.seed), context.device)
        chosen = choose(len(retained), self.retained_share, context.seed)

        def pairs(_: int, generator: torch.Generator) -> Iterator[Pair]:
            return mixed(forget.rows, retained, self.batch_size, generator, chosen)

        def losses(
            _: nn.Module, gone: Seen | None, kept: Seen | None, __: int
        ) -> Mapping[str, Tensor]:
            rows = sum(len(seen.x) for seen in (gone, kept) if seen is not None)
            terms = {}
            if gone is not None:
                away = divergence(gone.logits, bad(gone.x), self.temperature)
                terms["bad"] = away.sum() / rows
            if kept is not None:
                stay = divergence(kept.logits, good(kept.x), self.temperature)
                terms["good"] = stay.sum() / rows
            return terms

        course = Course(pairs, losses, ("bad", "good"), together=True)
        return edit_with_retained(model, forget, context, self, course)


def choose(count: int, share: float, seed: int) -> Tensor:
    """A mask (count,) of that share of rows, at least one, drawn from the seed."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(count, dtype=torch.bool)
    mask[order[: max(1, round(share * count))]] = True
    return mask
