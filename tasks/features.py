"""The feature level of an edit: hidden layers of parent, edit and references."""

from torch import nn

from lethe.data.rows import Rows
from lethe.evaluation.feature_level.measure import measure_features
from lethe.evaluation.feature_level.readings import Network
from lethe.evaluation.results import Evaluation, Part
from lethe.models.device import pick_device
from lethe.models.fresh import fresh_network
from lethe.patching.network import Patched
from lethe.settings import Settings
from model_registry.pull import PulledVersion


def with_features(
    settings: Settings,
    evaluation: Evaluation,
    parent: PulledVersion,
    successor: nn.Module,
    parts: dict[Part, Rows],
    *,
    retrained: nn.Module | None = None,
) -> Evaluation:
    """The evaluation with the feature level added; without it where that is switched off.

    Positions are measured from the retrained network, or else from one with fresh weights.
    """
    if isinstance(successor, Patched):  # its hidden layers are those of the network below
        return evaluation.model_copy(update={"patched": True})
    if not settings.evaluation.feature_level:
        return evaluation
    networks: dict[Network, nn.Module] = {"original": parent.network, "successor": successor}
    fresh = fresh_network(
        parent.network,
        parent.facts.architecture,
        allowed=settings.models.factories,
        seed=settings.seed,
    )
    if fresh is not None:
        networks["fresh"] = fresh
    if retrained is not None:
        networks["retrained"] = retrained
    card = parent.card()
    found = measure_features(
        networks,
        parts,
        forgotten=evaluation.forgotten,
        device=pick_device(settings.device),
        means=None if card is None else card.known_means(),
        seed=settings.seed,
    )
    level = "output" if found is None else "feature"
    return evaluation.model_copy(update={"features": found, "level": level})
