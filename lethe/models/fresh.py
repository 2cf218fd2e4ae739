"""The same network with fresh weights: what a reading is when nothing was learned."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from lethe.models.architecture import Architecture, build


def fresh_network(
    network: nn.Module, architecture: Architecture | None, *, allowed: Sequence[str], seed: int
) -> nn.Module | None:
    """An untrained network of the same form, in eval mode on the CPU.

    Args:
        network: the trained one; stays as it is.
        architecture: how it is built; None where only the network itself is there, whose modules
            then draw their weights anew.
        allowed: modules that a factory may be imported from.
        seed: of the weights; the global random state is left alone.

    Returns:
        None when some module with weights cannot draw them anew.

    Raises:
        ModelError: if the architecture cannot be built.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        if architecture is not None:
            return build(architecture, allowed).eval()
        fresh = copy.deepcopy(network).cpu().eval()
        for module in fresh.modules():
            if next(module.parameters(recurse=False), None) is None:
                continue
            reset = getattr(module, "reset_parameters", None)
            if reset is None:
                return None
            reset()
        return fresh
