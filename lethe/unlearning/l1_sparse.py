"""l1-sparse unlearning (Jia et al. 2023, arXiv 2304.04934): fine-tuning with an l1 penalty.

    method = L1Sparse()
    edit = method.edit(model, forget, method.probe(model, forget, context), context)

The penalty on all weights falls linearly to zero, so that the last epochs repair what sparsity
cost. A reference for comparison: it needs the retained rows.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.unlearning.pairs import retained_only
from lethe.unlearning.retain_edit import Course, Pair, Seen, cross_entropy
from lethe.unlearning.retain_method import Given, RetainMethod


class L1Sparse(RetainMethod):
    """Settings of l1-sparse unlearning."""

    name: ClassVar[str] = "l1_sparse"

    alpha: float = Field(default=5e-3, ge=0, description="weight of the l1 norm in the first epoch")
    plain_epochs: int = Field(default=0, ge=0, description="last epochs, without the l1 norm")

    def course(self, given: Given) -> Course:
        """The retained rows alone, under the penalty."""

        def pairs(_: int, generator: torch.Generator) -> Iterator[Pair]:
            return retained_only(given.retained, self.batch_size, generator)

        def losses(
            student: nn.Module, _: Seen | None, kept: Seen | None, epoch: int
        ) -> Mapping[str, Tensor]:
            if kept is None:
                return {}
            penalty = decayed(self.alpha, epoch, self.epochs - self.plain_epochs)
            return {"retained": cross_entropy(kept), "l1": penalty * l1_norm(student)}

        return Course(pairs, losses, ("retained", "l1"))


def decayed(alpha: float, epoch: int, epochs: int) -> float:
    """Alpha in epoch 0, falling linearly to zero in epoch `epochs`, and zero from there on."""
    return alpha * max(0.0, 1 - epoch / epochs) if epochs > 0 else 0.0


def l1_norm(student: nn.Module) -> Tensor:
    """Sum of the absolute values of all weights that may change."""
    free = [weight for weight in student.parameters() if weight.requires_grad]
    return torch.stack([weight.abs().sum() for weight in free]).sum()
