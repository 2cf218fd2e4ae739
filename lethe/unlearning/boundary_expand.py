"""Boundary Expand (Chen et al. 2023, arXiv 2303.11570): a shadow class takes the rows, then goes.

    instructions = BoundaryExpand().probe(model, forget, context)
    edit = BoundaryExpand().edit(model, forget, instructions, context)

Whether a row is forgotten is judged without the shadow class, as the network will be used.
"""

import copy
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.errors import MethodError
from lethe.unlearning.layers import output_layer
from lethe.unlearning.losses import push_cross_entropy
from lethe.unlearning.method import Context, Edit, ForgetKind, ForgetTarget, Instructions, Need
from lethe.unlearning.row_edit import Plan, RowEdit, Sample, edit_rows, survey_rows
from lethe.unlearning.survey import check_instructions


class BoundaryExpand(RowEdit):
    """Settings of Boundary Expand."""

    name: ClassVar[str] = "boundary_expand"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class"})

    edited_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the layers that change, from the output"
    )
    learning_rate: float = Field(default=5e-5, gt=0, description="of the optimizer")
    least_steps: int = Field(
        default=20, ge=1, description="steps within which it may be forgotten, if epochs are fewer"
    )

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Find the output layer and draw the weights of the shadow class.

        Raises:
            MethodError: if the model cannot forget the classes, or its last layer is not linear.
        """
        found = survey_rows(self, model, forget, context)
        first = next(forget.rows.batches(1)).x.to(context.device)
        name = output_layer(found.model, first)
        row = torch.empty_like(_linear(found.model, name).weight[:1], device="cpu")
        generator = torch.Generator().manual_seed(context.seed)
        nn.init.xavier_uniform_(row, generator=generator)
        return found.instructions({"shadow": row[0]}, output_layer=name)

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Teach the shadow class to a copy and cut it off.

        Raises:
            MethodError: if the instructions belong to other rows, or the edit diverges.
        """
        check_instructions(instructions, forget, self.name)
        name, shadow = str(instructions.facts["output_layer"]), instructions.tensors["shadow"]
        wider = copy.deepcopy(model)
        classes = widen(_linear(wider, name), shadow)

        def push(_: nn.Module, __: Sample, logits: Tensor) -> Tensor:
            return push_cross_entropy(logits, torch.full_like(logits[:, 0], classes).long())

        plan = Plan(push, self.edited_share, outputs=classes)
        edit = edit_rows(wider, forget, instructions, context, self, plan=plan)
        narrow(_linear(edit.model, name), classes)
        return edit


@torch.no_grad()
def widen(head: nn.Linear, row: Tensor) -> int:
    """Add an output with these weights (D,) and no bias, in place; how many there were before."""
    classes = head.out_features
    _replace(head, "weight", torch.cat([head.weight, row[None].to(head.weight)]))
    if head.bias is not None:
        _replace(head, "bias", torch.cat([head.bias, head.bias.new_zeros(1)]))
    head.out_features = classes + 1
    return classes


@torch.no_grad()
def narrow(head: nn.Linear, classes: int) -> None:
    """Keep the first outputs only, in place."""
    _replace(head, "weight", head.weight[:classes].clone())
    if head.bias is not None:
        _replace(head, "bias", head.bias[:classes].clone())
    head.out_features = classes


def _replace(head: nn.Linear, name: str, values: Tensor) -> None:
    flag = head.get_parameter(name).requires_grad
    setattr(head, name, nn.Parameter(values, requires_grad=flag))


def _linear(model: nn.Module, name: str) -> nn.Linear:
    layer = model.get_submodule(name)
    if not isinstance(layer, nn.Linear):
        raise MethodError(
            "These instructions name an output layer that the model does not have. It was left as "
            "it was. Run the probe again."
        )
    return layer
