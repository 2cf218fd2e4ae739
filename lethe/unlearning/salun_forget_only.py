"""SalUn (Fan et al. 2024, arXiv 2310.12508) without retained rows: random labels, salient weights.

    instructions = SalUnForgetOnly().probe(model, forget, context)     # labels and a mask
    edit = SalUnForgetOnly().edit(model, forget, instructions, context)

The mask marks the weights whose gradient of the forget rows' loss is largest. Momentum would
move weights that a mask on the gradient alone should hold, so all others are put back after every
step.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.errors import MethodError
from lethe.unlearning.layers import unfreeze_last
from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetKind,
    ForgetTarget,
    Instructions,
    Need,
    Searches,
)
from lethe.unlearning.random_labels import draw_labels, toward
from lethe.unlearning.row_edit import Plan, RowEdit, edit_rows, survey_rows
from lethe.unlearning.survey import Survey, check_instructions

MASK = "mask."


class SalUnForgetOnly(RowEdit):
    """Settings of SalUn on forget rows alone."""

    name: ClassVar[str] = "salun_forget_only"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})
    searches: ClassVar[Searches] = {
        "learning_rate": (5e-5, 1e-4, 2e-4, 5e-4, 1e-3),
        "salient_share": (0.1, 0.3, 0.5),
    }

    salient_share: float = Field(
        default=0.5, gt=0, le=1, description="share of the weights that may change"
    )
    edited_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the layers that change, from the output"
    )

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Draw a label for each row and mark the salient weights.

        Raises:
            MethodError: if the model cannot forget the rows.
        """
        found = survey_rows(self, model, forget, context)
        labels = draw_labels(found.barred, context.seed)[:, 0]
        saliency = self._saliency(model, found, forget, context)
        masks = salient(saliency, self.salient_share)
        return found.instructions(
            {"labels": labels, **{MASK + name: mask for name, mask in masks.items()}},
            instructed=labels.bincount(minlength=len(found.outputs)).tolist(),
            salient=sum(int(mask.sum()) for mask in masks.values()),
        )

    def _saliency(
        self, model: nn.Module, found: Survey, forget: ForgetTarget, context: Context
    ) -> dict[str, Tensor]:
        """Absolute gradient of the forget rows' cross-entropy, for each weight that may change."""
        for name, weight in model.named_parameters():  # the survey's copy is frozen throughout
            found.model.get_parameter(name).requires_grad_(weight.requires_grad)
        first = next(forget.rows.batches(1)).x.to(context.device)
        unfreeze_last(found.model, first, self.edited_share)
        barred = found.barred
        for batch in forget.rows.batches(self.batch_size):
            logits = found.model(batch.x.to(context.device)).double()
            wrong = barred[batch.positions].to(context.device)
            mass = logits.masked_fill(~wrong, -torch.inf).logsumexp(1) - logits.logsumexp(1)
            (-mass.sum() / len(forget.rows)).backward()
        return {
            name: torch.zeros_like(weight) if weight.grad is None else weight.grad.abs()
            for name, weight in found.model.named_parameters()
            if weight.requires_grad
        }

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Teach the random labels to a copy, in its salient weights.

        Raises:
            MethodError: if the instructions belong to other rows or another model, or the edit
                diverges.
        """
        check_instructions(instructions, forget, self.name, ("labels",))
        weights = dict(model.named_parameters())
        masks = {
            name.removeprefix(MASK): mask.to(context.device)
            for name, mask in instructions.tensors.items()
            if name.startswith(MASK)
        }
        if any(name not in weights or m.shape != weights[name].shape for name, m in masks.items()):
            raise MethodError(
                "These instructions mark weights that the model does not have. It was left as it "
                "was. Run the probe again."
            )
        kept = {name: weights[name].detach().to(context.device) for name in masks}

        def restore(student: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            hold_unmarked(student, optimizer, masks, kept)

        push = toward(instructions.tensors["labels"])
        plan = Plan(push, self.edited_share, after_step=restore)
        return edit_rows(model, forget, instructions, context, self, plan=plan)


def salient(saliency: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Masks of the `share` of all weights with the largest saliency, ties in order of the names."""
    flat = torch.cat([tensor.flatten() for tensor in saliency.values()])
    best = flat.argsort(descending=True, stable=True)[: max(1, round(share * len(flat)))]
    mask = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    mask[best] = True
    parts = torch.split(mask, [tensor.numel() for tensor in saliency.values()])
    return {name: part.view_as(saliency[name]) for name, part in zip(saliency, parts, strict=True)}


@torch.no_grad()
def hold_unmarked(
    student: nn.Module,
    optimizer: torch.optim.Optimizer,
    masks: Mapping[str, Tensor],
    kept: Mapping[str, Tensor],
) -> None:
    """Put every unmarked weight back and empty what the optimizer remembers of it."""
    for name, weight in student.named_parameters():
        if name not in masks:
            continue
        mask = masks[name]
        weight.copy_(torch.where(mask, weight, kept[name]))
        for state in optimizer.state.get(weight, {}).values():
            if isinstance(state, Tensor) and state.shape == weight.shape:
                state.mul_(mask)
