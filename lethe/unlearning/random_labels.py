"""Random labels on the forget rows, from forget rows alone (after Golatkar et al. 2020).

    instructions = RandomLabels().probe(model, forget, context)     # one wrong label for each row
    edit = RandomLabels().edit(model, forget, instructions, context)

No row is given its own label, and none of a class request is given a forget class.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.unlearning.losses import push_cross_entropy
from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetKind,
    ForgetTarget,
    Instructions,
    Need,
    Searches,
)
from lethe.unlearning.row_edit import Plan, Push, RowEdit, Sample, edit_rows, survey_rows
from lethe.unlearning.survey import check_instructions


def draw_labels(barred: Tensor, seed: int, each: int = 1) -> Tensor:
    """Labels (n, each) drawn with equal chances from those that a row (n, K) is not barred from."""
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial((~barred).float(), each, replacement=True, generator=generator)


def toward(labels: Tensor) -> Push:
    """The push that is the cross-entropy to each row's label (n,), by position."""

    def push(_: nn.Module, sample: Sample, logits: Tensor) -> Tensor:
        return push_cross_entropy(logits, labels[sample.positions].to(logits.device))

    return push


class RandomLabels(RowEdit):
    """Settings of random labels."""

    name: ClassVar[str] = "random_labels"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})
    searches: ClassVar[Searches] = {
        "learning_rate": (5e-5, 1e-4, 2e-4, 5e-4, 1e-3),
    }

    edited_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the layers that change, from the output"
    )

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Draw a label for each row: never its own, and never a forget class.

        Raises:
            MethodError: if the model cannot forget them.
        """
        found = survey_rows(self, model, forget, context)
        labels = draw_labels(found.barred, context.seed)[:, 0]
        counts = labels.bincount(minlength=len(found.outputs)).tolist()
        return found.instructions({"labels": labels}, instructed=counts)

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Teach a copy those labels.

        Raises:
            MethodError: if the instructions belong to other rows, or the edit diverges.
        """
        check_instructions(instructions, forget, self.name, ("labels",))
        push = toward(instructions.tensors["labels"])
        return edit_rows(
            model, forget, instructions, context, self, plan=Plan(push, self.edited_share)
        )
