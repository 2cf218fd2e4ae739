# # Train a network and register it
#
#     lethe train digits
#
# The recipe stands in params.yaml, the data set is the one committed in this repository. Trained
# once by the same recipe on the same data with the same seed, a version is not trained again.
"""The flow `train`: open the data, fit, describe, register."""

from prefect import flow

from lethe.settings import load_settings
from tasks.results import TrainResult
from tasks.train import (
    describe,
    find_trained,
    fit,
    open_training_data,
    read_recipe,
    register_trained,
)


@flow(name="train", flow_run_name="train-{dataset}", persist_result=False)
def train(dataset: str, model: str | None = None, again: bool = False) -> TrainResult:
    """Train on data/<dataset> and register the network.

    The first version of a model gets the alias `models.alias`; later ones have to be given it.

    Args:
        dataset: name of a data set under data/, and of its recipe in params.yaml.
        model: name to register under; default: the data set's.
        again: train even if a version of the same recipe, data and seed is registered.

    Raises:
        LetheError: if the recipe or the data cannot be worked with; nothing was trained.
    """
    settings = load_settings()
    name = model or dataset
    recipe = read_recipe(dataset)
    data = open_training_data(settings, dataset)
    if not again and (found := find_trained(settings, name, data, recipe)) is not None:
        return found
    trained = fit(settings, data, recipe)
    card = describe(settings, data, recipe, trained)
    return register_trained(settings, name, data, recipe, trained, card=card)
