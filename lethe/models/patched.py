"""How a network under a patch is named and built again: its base's architecture, and sizes.

    architecture = architecture_of(network, parent.architecture)
    build(architecture, allowed)     # lethe.models.architecture builds the base, then the patch

The base is built as it always is, by a factory that has to be allowed; the patch is Lethe's own and
holds numbers alone.
"""

from typing import Final

from torch import nn

from lethe.models.architecture import PATCHED, Architecture
from lethe.patching.network import Patched, empty_patch

__all__ = ["PATCHED", "architecture_of", "patched"]

BASE: Final = "base"


def architecture_of(network: nn.Module, known: Architecture | None) -> Architecture | None:
    """How to build a network whose own or whose base's architecture is known.

    Args:
        network: with a patch or without.
        known: of the version that it came from, which may itself have been under a patch.
    """
    if known is None:
        return None
    if known.factory == PATCHED:
        known = Architecture.model_validate(known.kwargs[BASE])
    if not isinstance(network, Patched):
        return known
    kwargs = {BASE: known.model_dump(mode="json"), **network.patch.sizes}
    return Architecture(factory=PATCHED, kwargs=kwargs)


def patched(
    *,
    base: nn.Module,
    regions: int,
    units: int,
    features: int,
    cells: int,
    groups: int,
    classes: int,
) -> nn.Module:
    """A network under a patch of this form that bars nothing yet."""
    patch = empty_patch(
        regions=regions,
        units=units,
        features=features,
        cells=cells,
        groups=groups,
        classes=classes,
    )
    return Patched(base, patch)
