"""Which layers an edit may change, counted from the output in the order in which they run."""

import math

import torch
from torch import Tensor, nn


def unfreeze_last(model: nn.Module, x: Tensor, share: float) -> list[str]:
    """Let only the last `share` of the layers require gradients, at least one; their names.

    A layer is a module that holds parameters of its own. Parameters that do not require gradients
    beforehand are the owner's decision and stay frozen, unless all of them are.

    Args:
        model: changed in place, in its flags only.
        x: inputs (B, ...) to run once, so that the order is that of the computation.
        share: of the layers, in 0..1.
    """
    order: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, module in model.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    layers = list(dict.fromkeys(order))
    chosen = layers[-max(1, math.ceil(share * len(layers))) :] if layers else [""]
    frozen_by_owner = any(weight.requires_grad for weight in model.parameters())
    kept = {id(w) for name in chosen for w in model.get_submodule(name).parameters(recurse=False)}
    for weight in model.parameters():
        free = weight.is_floating_point() and (weight.requires_grad or not frozen_by_owner)
        weight.requires_grad_(free and id(weight) in kept)
    return chosen
