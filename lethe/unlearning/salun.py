"""SalUn (Fan et al. 2024, arXiv 2310.12508): random labels beside retained rows, salient weights.

    method = SalUn()
    edit = method.edit(model, forget, method.probe(model, forget, context), context)

The probe is that of `salun_forget_only`: a wrong label for each row, and a mask of the weights
whose gradient of the forget rows' loss is largest. Momentum and weight decay would move weights
that a mask on the gradient alone should hold, so all others are put back after every step. A
reference for comparison: it needs the retained rows.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lethe.errors import MethodError
from lethe.unlearning.method import Context, ForgetTarget, Instructions
from lethe.unlearning.pairs import mixed
from lethe.unlearning.retain_edit import Course, Pair, Seen, retained_rows
from lethe.unlearning.retain_method import Given, RetainMethod
from lethe.unlearning.salun_forget_only import MASK, SalUnForgetOnly, hold_unmarked


class SalUn(RetainMethod):
    """Settings of SalUn."""

    name: ClassVar[str] = "salun"
    tensors: ClassVar[tuple[str, ...]] = ("labels",)

    learning_rate: float = Field(default=0.013, gt=0, description="of the optimizer, constant")
    weight_decay: float = Field(default=5e-4, ge=0, description="of the optimizer, on the gradient")
    batch_size: int = Field(default=256, ge=2, description="rows per step")
    salient_share: float = Field(
        default=0.5, gt=0, le=1, description="share of the weights that may change"
    )

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Draw a label for each row and mark the salient weights.

        Raises:
            MethodError: if there are no retained rows, or the model cannot forget the others.
        """
        retained_rows(forget, self.name)
        alone = SalUnForgetOnly(
            salient_share=self.salient_share,
            edited_share=self.edited_share,
            batch_size=self.batch_size,
        )
        return alone.probe(model, forget, context)

    def course(self, given: Given) -> Course:
        """Teach the random and the retained labels, in the salient weights."""
        labels = given.instructions.tensors["labels"].to(given.context.device)
        masks, kept_weights = _masks(given.model, given.instructions, given.context)

        def pairs(_: int, generator: torch.Generator) -> Iterator[Pair]:
            return mixed(given.forget.rows, given.retained, self.batch_size, generator)

        def losses(
            _: nn.Module, gone: Seen | None, kept: Seen | None, __: int
        ) -> Mapping[str, Tensor]:
            rows = sum(len(seen.x) for seen in (gone, kept) if seen is not None)
            terms = {}
            if gone is not None:
                drawn = labels[gone.positions.to(labels.device)]
                terms["random"] = F.cross_entropy(gone.logits, drawn, reduction="sum") / rows
            if kept is not None:
                terms["retained"] = F.cross_entropy(kept.logits, kept.y, reduction="sum") / rows
            return terms

        def restore(student: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            hold_unmarked(student, optimizer, masks, kept_weights)

        return Course(pairs, losses, ("random", "retained"), restore, together=True)


def _masks(
    model: nn.Module, instructions: Instructions, context: Context
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Masks of the weights that may change, and what all those weights were."""
    weights = dict(model.named_parameters())
    masks = {
        name.removeprefix(MASK): mask.to(context.device)
        for name, mask in instructions.tensors.items()
        if name.startswith(MASK)
    }
    if not masks or any(
        name not in weights or mask.shape != weights[name].shape for name, mask in masks.items()
    ):
        raise MethodError(
            "These instructions mark weights that the model does not have. It was left as it was. "
            "Run the probe again."
        )
    kept = {name: weights[name].detach().to(context.device, copy=True) for name in masks}
    return masks, kept
