"""The training card, for methods that cannot do without it."""

from torch import nn

from lethe.data.training_card import TrainingCard
from lethe.errors import MethodError
from lethe.unlearning.method import Context


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
