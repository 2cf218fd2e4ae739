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

from lethe.unlearning.pairs import mixed
from lethe.unlearning.retain_edit import Course, Pair, Seen
from lethe.unlearning.retain_method import Given, RetainMethod
from lethe.unlearning.teachers import divergence, frozen, untrained


class BadTeacher(RetainMethod):
    """Settings of Bad Teacher."""

    name: ClassVar[str] = "bad_teacher"

    optimizer: Literal["adam", "sgd"] = Field(
        default="adam", description="Adam, or SGD with momentum 0.9"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="of the optimizer, constant")
    temperature: float = Field(default=1.0, gt=0, description="temperature of both KL")
    retained_share: float = Field(
        default=0.3, gt=0, le=1, description="share of the retained rows that take part"
    )

    def course(self, given: Given) -> Course:
        """Distil both teachers."""
        good = frozen(given.model, given.context.device)
        bad = frozen(untrained(given.model, given.context.seed), given.context.device)
        chosen = choose(len(given.retained), self.retained_share, given.context.seed)

        def pairs(_: int, generator: torch.Generator) -> Iterator[Pair]:
            return mixed(given.forget.rows, given.retained, self.batch_size, generator, chosen)

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

        return Course(pairs, losses, ("bad", "good"), together=True)


def choose(count: int, share: float, seed: int) -> Tensor:
    """A mask (count,) of that share of rows, at least one, drawn from the seed."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(count, dtype=torch.bool)
    mask[order[: max(1, round(share * count))]] = True
    return mask
