"""DELETE (Zhou et al. 2025, arXiv 2503.04079): distil the original without some classes.

    instructions = Delete().probe(model, forget, context)     # the original's logits
    edit = Delete().edit(model, forget, instructions, context)

The teacher alone is masked, so the same loss forgets and retains.
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from lethe.unlearning.losses import pull_teacher_only
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


class Delete(RowEdit):
    """Settings of DELETE."""

    name: ClassVar[str] = "delete"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class"})
    searches: ClassVar[Searches] = {
        "learning_rate": (5e-5, 1e-4, 2e-4, 5e-4, 1e-3),
        "repair_epochs": (0, 2, 5),
        "temperature": (1.0, 2.0),
    }

    temperature: float = Field(default=1.0, gt=0, description="of the distillation")
    edited_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the layers that change, from the output"
    )
    repair_epochs: int = Field(default=2, ge=0, description="epochs after it is forgotten")

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Ask the original about every row.

        Raises:
            MethodError: if the model cannot forget the classes.
        """
        found = survey_rows(self, model, forget, context)
        second = found.logits.masked_fill(found.barred, -float("inf")).argmax(1)
        counts = second.bincount(minlength=len(found.outputs)).tolist()
        return found.instructions({"teacher_logits": found.logits}, instructed=counts)

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Distil into a copy what the original says of the rows without the forget classes.

        Raises:
            MethodError: if the instructions belong to other rows, or the edit diverges.
        """
        check_instructions(instructions, forget, self.name, ("teacher_logits",))
        teacher = instructions.tensors["teacher_logits"]

        def push(_: nn.Module, sample: Sample, logits: Tensor) -> Tensor:
            said = teacher[sample.positions].to(logits.device)
            return pull_teacher_only(logits, said, sample.barred[0], self.temperature)

        plan = Plan(push, self.edited_share, repair_epochs=self.repair_epochs)
        return edit_rows(model, forget, instructions, context, self, plan=plan)
