"""IMU (Fan et al., arXiv 2508.01620): gradient ascent, weighed by influence, on a sparse head.

    instructions = IMU().probe(model, forget, context)     # weights of the rows
    edit = IMU().edit(model, forget, instructions, context)

`scope = "head"` changes the output layer alone, as the released code does; the features keep the
class. docs/methods/imu.md says what is published and what is ours.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.unlearning.gradient_ascent import bounded_ascent
from lethe.unlearning.influence import Weights
from lethe.unlearning.layers import output_layer
from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetKind,
    ForgetTarget,
    Instructions,
    Need,
    Searches,
)
from lethe.unlearning.row_edit import Plan, RowEdit, Sample, edit_rows, survey_rows
from lethe.unlearning.survey import check_instructions

HEAD_ONLY = 1e-9  # a share of the layers that is one layer for any number of them


class IMU(RowEdit):
    """Settings of IMU."""

    name: ClassVar[str] = "imu"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})
    searches: ClassVar[Searches] = {
        "learning_rate": (0.003, 0.01, 0.03),
        "sparsity": (0.0, 0.2),
    }

    scope: Literal["head", "all"] = Field(default="head", description="layers that change")
    weights: Weights = Field(default="influence", description="of the rows: equal or by influence")
    sparsity: float = Field(
        default=0.2, ge=0, description="weight of the L1 norm of the output layer"
    )
    bound: float = Field(
        default=1.0, gt=0, description="loss at which a row is let go, in uniform guesses"
    )
    optimizer: Literal["adam", "sgd"] = Field(
        default="sgd", description="Adam, or SGD with momentum 0.9"
    )
    learning_rate: float = Field(default=0.01, gt=0, description="of the optimizer")

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Weigh the rows by their influence, once.

        Raises:
            MethodError: if the model cannot forget them, or its last layer is not linear.
        """
        found = survey_rows(self, model, forget, context)
        first = next(forget.rows.batches(1)).x.to(context.device)
        return found.instructions({}, output_layer=output_layer(found.model, first))

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Climb the weighed loss of a copy, with the L1 norm of its output layer held down.

        Raises:
            MethodError: if the instructions belong to other rows, or the edit diverges.
        """
        check_instructions(instructions, forget, self.name)
        name = str(instructions.facts["output_layer"])

        def push(_: nn.Module, sample: Sample, logits: Tensor) -> Tensor:
            return bounded_ascent(logits, sample.barred, self.bound)

        def hold(student: nn.Module) -> Mapping[str, Tensor]:
            head = student.get_submodule(name)
            norm = torch.stack([weight.abs().sum() for weight in head.parameters()]).sum()
            return {"sparsity": self.sparsity * norm}

        share = 1.0 if self.scope == "all" else HEAD_ONLY
        plan = Plan(push, share, hold=hold, held=("sparsity",))
        return edit_rows(model, forget, instructions, context, self, plan=plan)
