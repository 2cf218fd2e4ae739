"""Class direction: take out of the head what only the forgotten class's features have. No training.

    instructions = ClassDirection().probe(model, forget, context)     # the direction
    edit = ClassDirection().edit(model, forget, instructions, context)

With the means of the features of the retained classes (training card) and of the forget rows of
each forget class, the direction is what of the latter lies outside the span of the former. The
output layer loses it, and the outputs of the forget classes are turned against it until no forget
row is recognised. At the mean of each retained class every logit stays as it was, exactly.

Ours; after Kodge et al. 2024 (TMLR, arXiv 2312.00761), who take such a difference of spaces out of
every layer and need retained rows for it. See docs/methods/class_direction.md.
"""

import copy
import time
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lethe.errors import MethodError
from lethe.unlearning.classes import barred, forget_mask
from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetKind,
    ForgetTarget,
    Instructions,
    Need,
    Searches,
)
from lethe.unlearning.nearest_mean import head_features, retained_means
from lethe.unlearning.stored_card import required_card
from lethe.unlearning.survey import check_instructions, survey


class ClassDirection(BaseModel):
    """Settings of class direction."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str] = "class_direction"
    needs: ClassVar[Need] = "stored_statistics"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class"})
    searches: ClassVar[Searches] = {"strength": (1.0, 1.5, 2.0)}

    strength: float = Field(
        default=1.0, ge=1, description="of the forget classes' outputs at first; 1 only removes"
    )
    growth: float = Field(default=1.25, gt=1, description="factor by which it is raised")
    tries: int = Field(default=12, ge=1, description="most strengths that are tried")
    target: float = Field(
        default=0.002, ge=0, lt=1, description="share of forget rows that may stay recognised"
    )
    least_distinct: float = Field(
        default=0.05, gt=0, lt=1, description="least share of a class's mean that is its own"
    )
    batch_size: int = Field(default=256, ge=1, description="forget rows at once")

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Find the directions that the forget classes alone have.

        Raises:
            MethodError: if there is no card with means of this network's features, the logits come
                from no linear layer, or a class has hardly a direction of its own.
        """
        card = required_card(context, self.name)
        found = survey(model, forget, context, self.batch_size)
        head, features = head_features(found.model, forget, context, self.batch_size)
        retained, _ = retained_means(card, found.outputs.cpu(), features.shape[1])
        mine = [features[found.labels == label].mean(0) for label in forget.classes]
        basis, distinct = directions(torch.stack(mine), retained, self.least_distinct)
        return found.instructions(
            {"directions": basis.float()},
            output_layer=head,
            distinct=distinct,
            retained_means=len(retained),
        )

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Take them out of the output layer of a copy, as strongly as it takes.

        Raises:
            MethodError: if the instructions belong to other rows, or the layer is frozen.
        """
        started = time.perf_counter()
        check_instructions(instructions, forget, self.name)
        basis = instructions.tensors["directions"]
        student = copy.deepcopy(model).to(context.device).eval()
        gone = forget_mask(student, forget, context.device)
        layer = student.get_submodule(str(instructions.facts["output_layer"]))
        head = layer.get_parameter("weight")
        if not head.requires_grad and any(weight.requires_grad for weight in student.parameters()):
            raise MethodError(
                "The output layer is frozen by its owner, and this method changes nothing else. "
                "The model was left as it was. Name another method: `lethe unlearn --method NAME`."
            )
        first = head.detach().cpu().clone()  # double precision, which Apple's MPS has not
        curves: dict[str, list[float]] = {"strength": [], "forget_accuracy": []}
        strength = self.strength
        for done in range(1, self.tries + 1):
            with torch.no_grad():
                head.copy_(without_directions(first, basis, gone.cpu(), strength))
            share = _recognised(student, forget, gone, self.batch_size)
            curves["strength"].append(strength)
            curves["forget_accuracy"].append(share)
            context.progress(done, self.tries)
            if share <= self.target:
                break
            strength *= self.growth
        context.progress(self.tries, self.tries)
        said = "Forgotten" if share <= self.target else f"Not forgotten: {share:.1%} recognised"
        return Edit(
            model=student.cpu(),
            curves=curves,
            epochs=done,
            seconds=time.perf_counter() - started,
            stopped=f"{said} at strength {curves['strength'][-1]:.3g}.",
        )


def directions(mine: Tensor, retained: Tensor, least: float) -> tuple[Tensor, float]:
    """Orthonormal directions (F, D) that the means `mine` (F, D) have and `retained` (R, D) lack.

    Returns:
        The directions, and the smallest share of a mean's length that lies outside the span.

    Raises:
        MethodError: if that is below `least`, or there are no more features than means.
    """
    mine, retained = mine.double(), retained.double()
    # Means that almost coincide span fewer dimensions than there are of them.
    _, sizes, span = torch.linalg.svd(retained, full_matrices=False)
    span = span[sizes > sizes[0] * 1e-6]
    own = mine - mine @ span.T @ span
    _, sizes, basis = torch.linalg.svd(own, full_matrices=False)
    distinct = float((own.norm(dim=1) / mine.norm(dim=1)).min())
    if not distinct >= least:
        raise MethodError(
            f"Only {distinct:.1%} of a forget class's mean features lie outside what the retained "
            f"classes' span, so the class has no direction of its own to take out. The model was "
            f"left as it was. Name another method: `lethe unlearn --method pte`."
        )
    return basis[sizes > sizes[0] * 1e-6], distinct


def without_directions(weight: Tensor, basis: Tensor, gone: Tensor, strength: float) -> Tensor:
    """Weights (K, D) of the head without these directions (F, D).

    Rows of retained classes lose them; rows of forget classes, the mask `gone` (K,), lose
    `strength` times as much, so that above 1 the class's own features speak against it.
    """
    along = weight.double() @ basis.double().T @ basis.double()
    factor = torch.where(gone, strength, 1.0)[:, None]
    return (weight.double() - factor * along).to(weight.dtype)


@torch.no_grad()
def _recognised(model: nn.Module, forget: ForgetTarget, gone: Tensor, batch_size: int) -> float:
    hits = 0.0
    for batch in forget.rows.batches(batch_size):
        wrong = barred(gone, batch.y.to(gone.device))
        answer = model(batch.x.to(gone.device)).argmax(1, keepdim=True)
        hits += float(wrong.gather(1, answer).sum())
    return hits / len(forget.rows)
