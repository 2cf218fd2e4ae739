"""Boundary Shrink (Chen et al. 2023, arXiv 2303.11570): each row to its nearest wrong class.

    instructions = BoundaryShrink().probe(model, forget, context)     # the nearest wrong classes
    edit = BoundaryShrink().edit(model, forget, instructions, context)

A probe that fails to leave the forget classes is given the likeliest other class; to keep what the
model says there, as released code does, would train the class back in.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from lethe.unlearning import losses, probes
from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetKind,
    ForgetTarget,
    Instructions,
    Need,
    Searches,
)
from lethe.unlearning.random_labels import toward
from lethe.unlearning.row_edit import Plan, RowEdit, edit_rows, survey_rows
from lethe.unlearning.survey import check_instructions


class BoundaryShrink(RowEdit):
    """Settings of Boundary Shrink; the radius is in standard deviations of the rows' values."""

    name: ClassVar[str] = "boundary_shrink"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class"})
    searches: ClassVar[Searches] = {
        "learning_rate": (5e-5, 1e-4, 2e-4, 5e-4, 1e-3),
        "epsilon": (0.25, 0.5, 1.0),
    }

    norm: probes.Norm = Field(default="linf", description="shape of the probe's ball")
    epsilon: float = Field(default=0.5, gt=0, description="radius of the probe's ball")
    steps: int = Field(default=1, ge=1, description="steps of the probe; 1 is FGSM, more are PGD")
    edited_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the layers that change, from the output"
    )

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Find the class across the nearest boundary of each row.

        Raises:
            MethodError: if the model cannot forget the classes, or the rows are constant.
        """
        found = survey_rows(self, model, forget, context)
        scale = probes.data_scale(forget.rows, self.batch_size)
        probes.check_scale(scale)
        logits = torch.empty_like(found.logits)
        done = 0
        for batch in forget.rows.batches(self.batch_size):
            moved = probes.leave(
                found.model,
                batch.x.to(context.device),
                found.outputs,
                radius=self.epsilon * scale,
                norm=self.norm,
                steps=self.steps,
            )
            with torch.no_grad():
                logits[batch.positions] = found.model(moved).float().cpu()
            done += len(batch.y)
            context.progress(done, len(forget.rows))
        mask = found.outputs.cpu()
        labels = losses.retained_only(logits, mask).argmax(1)
        facts = probes.landing(found.logits, logits, mask)
        return found.instructions({"labels": labels}, scale=scale, **facts)

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Teach those classes to a copy.

        Raises:
            MethodError: if the instructions belong to other rows, or the edit diverges.
        """
        check_instructions(instructions, forget, self.name, ("labels",))
        push = toward(instructions.tensors["labels"])
        return edit_rows(
            model, forget, instructions, context, self, plan=Plan(push, self.edited_share)
        )
