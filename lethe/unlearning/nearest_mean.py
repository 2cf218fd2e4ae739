"""Nearest mean: move the features of forget rows to the nearest stored mean of another class.

    instructions = NearestMean().probe(model, forget, context)     # where each row goes
    edit = NearestMean().edit(model, forget, instructions, context)

The training card keeps the mean of what the output layer sees of each class, which says where the
retained classes are without any of their rows. Each forget row is drawn to the nearest of those
means, and what the output layer answers at all of them is held.

Ours; after SCAR (Bonato, Cotogni and Sabetta 2024, ECCV, arXiv 2404.12922), which goes by the
Mahalanobis distance, with stored covariances, and holds the rest by distillation on other images.
See docs/methods/nearest_mean.md.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.data.training_card import TrainingCard
from lethe.errors import MethodError
from lethe.unlearning.layers import output_layer, with_features
from lethe.unlearning.losses import pull_masked, push_bounded
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
from lethe.unlearning.stored_card import check_classes, required_card
from lethe.unlearning.survey import check_instructions


class NearestMean(RowEdit):
    """Settings of nearest mean."""

    name: ClassVar[str] = "nearest_mean"
    needs: ClassVar[Need] = "stored_statistics"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class"})
    searches: ClassVar[Searches] = {
        "learning_rate": (5e-5, 1e-4, 2e-4, 5e-4, 1e-3),
        "pull_weight": (1.0, 5.0, 20.0),
    }

    push_weight: float = Field(
        default=1.0, ge=0, description="of -log(1 - p_F), which PTE pushes by"
    )
    pull_weight: float = Field(
        default=5.0, ge=0, description="of distillation among the retained classes, on forget rows"
    )
    hold_weight: float = Field(
        default=1.0, ge=0, description="of what the output layer answers at the stored means"
    )
    edited_share: float = Field(
        default=0.3, gt=0, le=1, description="share of the layers that change, from the output"
    )
    learning_rate: float = Field(default=5e-4, gt=0, description="of the optimizer")
    repair_epochs: int = Field(default=10, ge=0, description="epochs after it is forgotten")

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Find the nearest mean of a retained class for each row.

        Raises:
            MethodError: if there is no card with means of this network's features, or the logits
                come from no linear layer.
        """
        card = required_card(context, self.name)
        found = survey_rows(self, model, forget, context)
        head, features = head_features(found.model, forget, context, self.batch_size)
        means, known = retained_means(card, found.outputs.cpu(), features.shape[1], least=2)
        nearest = torch.cdist(features, means).argmin(1)
        return found.instructions(
            {"means": means, "nearest": nearest, "teacher_logits": found.logits},
            output_layer=head,
            instructed=known[nearest].bincount(minlength=len(found.outputs)).tolist(),
            retained_means=len(means),
        )

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Draw a copy's features there, and hold its answers at the means.

        Raises:
            MethodError: if the instructions belong to other rows, or the edit diverges.
        """
        check_instructions(instructions, forget, self.name, ("nearest", "teacher_logits"))
        means, nearest, teacher = (
            instructions.tensors[name] for name in ("means", "nearest", "teacher_logits")
        )
        name = str(instructions.facts["output_layer"])
        spread = spread_of(means)
        layer = model.get_submodule(name)
        with torch.no_grad():
            said = layer(means.to(next(layer.parameters()).device)).to(context.device)
        means = means.to(context.device)
        nothing = torch.zeros(said.shape[1], dtype=torch.bool, device=context.device)

        def push(student: nn.Module, sample: Sample, _: Tensor) -> Tensor:
            # The features of the step's logits are not at hand; asking again costs a pass.
            features, logits = with_features(student, student.get_submodule(name), sample.x)
            goal = means[nearest[sample.positions].to(features.device)]
            moved = (features - goal).square().sum(1) / spread
            before = teacher[sample.positions].to(logits.device)
            pull = pull_masked(logits, before, sample.barred[0], 1.0)
            away = push_bounded(logits, sample.barred[0])
            return moved + self.push_weight * away + self.pull_weight * pull

        def hold(student: nn.Module) -> Mapping[str, Tensor]:
            answers = student.get_submodule(name)(means)
            return {"means": self.hold_weight * pull_masked(answers, said, nothing, 1.0).mean()}

        plan = Plan(
            push, self.edited_share, hold=hold, held=("means",), repair_epochs=self.repair_epochs
        )
        return edit_rows(model, forget, instructions, context, self, plan=plan)


def spread_of(means: Tensor) -> float:
    """Mean squared distance of means (M, D) from their centre: the unit of the features."""
    return float((means - means.mean(0)).square().sum(1).mean())


def head_features(
    model: nn.Module, forget: ForgetTarget, context: Context, batch_size: int
) -> tuple[str, Tensor]:
    """Name of the output layer, and what it sees of each forget row, (n, D), on the CPU.

    Raises:
        MethodError: if the logits do not come from a linear layer.
    """
    name = output_layer(model, next(forget.rows.batches(1)).x.to(context.device))
    layer = model.get_submodule(name)
    found = torch.empty(0)
    for batch in forget.rows.batches(batch_size):
        with torch.no_grad():
            features, _ = with_features(model, layer, batch.x.to(context.device))
        if not len(found):
            found = torch.empty(len(forget.rows), features.shape[1])
        found[batch.positions] = features.float().cpu()
    return name, found


def retained_means(
    card: TrainingCard, gone: Tensor, features: int, least: int = 1
) -> tuple[Tensor, Tensor]:
    """The card's means (M, D) of classes outside the mask `gone` (K,), and those classes (M,).

    Raises:
        MethodError: if the card is of other classes or features, or knows fewer means than `least`.
    """
    check_classes(card, len(gone))
    means, known = card.known_means()
    means, known = means[~gone[known]], known[~gone[known]]
    if means.shape[1] != features or len(means) < least:
        raise MethodError(
            f"The training card holds {len(means)} means of retained classes with "
            f"{means.shape[1]} features, but {least} or more of {features} are needed. The model "
            f"was left as it was. Make a card of it: "
            f"`lethe model card NAME/NUMBER --dataset data/NAME`."
        )
    return means, known
