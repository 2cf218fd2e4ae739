"""The training card, for methods that cannot do without it."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from lethe.data.curvature import weight_matrix
from lethe.data.training_card import TrainingCard
from lethe.errors import MethodError
from lethe.unlearning.method import Context, ForgetTarget

Whose = Literal["person", "people", "held_out"]


def required_card(context: Context, name: str) -> TrainingCard:
    """The model's training card.

    Args:
        context: as given to the phase.
        name: of the method that asks.

    Raises:
        MethodError: if the model has none.
    """
    if context.card is None:
        raise MethodError(
            f"Method {name!r} compares with the model's training card, and the model has none. It "
            f"was left as it was. Make one while the training data are at hand: "
            f"`lethe model card NAME/NUMBER --dataset data/NAME`."
        )
    return context.card


def check_fisher(card: TrainingCard, model: nn.Module) -> None:
    """Refuse a card whose Fisher information is not of this network's parameters.

    Raises:
        MethodError: if there is none, or names or shapes differ.
    """
    shapes = {n: w.shape for n, w in model.named_parameters() if w.is_floating_point()}
    if {name: table.shape for name, table in card.fisher.items()} != shapes:
        raise MethodError(
            "The training card holds no Fisher information of this network's parameters. The model "
            "was left as it was. Make a card with it: "
            "`lethe model card NAME/NUMBER --dataset data/NAME`."
        )


def check_classes(card: TrainingCard, outputs: int) -> None:
    """Refuse a card of other classes than the model's outputs.

    Raises:
        MethodError: if their numbers differ.
    """
    if len(card.classes) != outputs:
        raise MethodError(
            f"The training card describes {len(card.classes)} classes, but the model has {outputs} "
            f"outputs. The model was left as it was. Look at it: `lethe model card NAME/NUMBER`."
        )


@dataclass(frozen=True)
class Reference:
    """What rows never seen look like: quantiles (K, Q) of their loss, (K,) whether a class's own.

    `whose` says of which rows: those of the very people who are forgotten ("person"), those of all
    people who have a table ("people"), both with networks that never saw them; or held-out rows
    with the model itself.
    """

    quantiles: Tensor
    own: Tensor
    whose: Whose


def unseen_reference(card: TrainingCard, forget: ForgetTarget) -> Reference:
    """What the forget rows are to look like: for people, who never saw them; else held-out rows.

    Raises:
        ModelError: if the card says nothing of rows never seen.
    """
    people = card.unseen
    if forget.kind == "subject" and people is not None and len(people):
        quantiles, own, found = people.quantiles(forget.fingerprints)
        return Reference(quantiles, own, "person" if found else "people")
    quantiles, own = card.loss_quantiles("held_out")
    return Reference(quantiles, own, "held_out")


def check_curvature(card: TrainingCard, model: nn.Module) -> None:
    """Refuse a card whose Kronecker factors are not of this network's layers.

    Raises:
        MethodError: if a layer is missing or has weights of another shape.
    """
    layers = dict(model.named_modules())
    for name, factors in card.curvature.items():
        sides = (len(factors.outputs), len(factors.inputs))
        if name not in layers or weight_matrix(layers[name]).shape != sides:
            raise MethodError(
                f"The training card holds the curvature of a layer {name!r} that this network does "
                f"not have in that size. The model was left as it was. Look at the card: "
                f"`lethe model card NAME/NUMBER`."
            )
