"""The layers of a network in the order in which they run: which may change, which is the last."""

import math

import torch
from torch import Tensor, nn

from lethe.errors import MethodError


def unfreeze_last(model: nn.Module, x: Tensor, share: float) -> list[str]:
    """Let only the last `share` of the layers require gradients, at least one; their names.

    A layer is a module that holds parameters of its own; one that is used without being called,
    like the output projection of `nn.MultiheadAttention`, belongs to the module around it. Where
    some parameters require no gradients beforehand, that is the owner's decision and they stay
    frozen; where none does, the model was merely prepared for serving.

    Args:
        model: changed in place, in its flags only.
        x: inputs (B, ...) to run once, so that the order is that of the computation.
        share: of the layers, above 0 and up to 1.
    """
    layers = _running_order(model, x)
    chosen = layers[-max(1, math.ceil(share * len(layers))) :]
    serving = not any(weight.requires_grad for weight in model.parameters())
    for name, weight in model.named_parameters():
        owner = name.rpartition(".")[0]
        while owner and owner not in layers:
            owner = owner.rpartition(".")[0]
        free = weight.is_floating_point() and (weight.requires_grad or serving)
        weight.requires_grad_(free and (owner in chosen or share == 1))
    return chosen


def output_layer(model: nn.Module, x: Tensor) -> str:
    """Name of the linear layer whose outputs (B, K) are the model's logits.

    Args:
        model: in eval mode.
        x: inputs (B, ...) to run once.

    Raises:
        MethodError: if the logits do not come straight from a linear layer on features (B, D).
    """
    name = _running_order(model, x)[-1]
    layer = model.get_submodule(name)
    with torch.no_grad():
        features, logits = with_features(model, layer, x)
    if (
        not isinstance(layer, nn.Linear)
        or features.dim() != 2
        or layer.out_features != logits.shape[1]
        or not torch.equal(layer(features), logits)
    ):
        raise MethodError(
            "The model's logits do not come straight from a linear layer, which this method or its "
            "influence weights need. It was left as it was. Name another: `lethe unlearn --method`."
        )
    return name


def with_features(model: nn.Module, layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What goes into `layer` when the model sees `x`, and the model's logits."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        logits = model(x)
    finally:
        hook.remove()
    return seen[-1], logits


def _running_order(model: nn.Module, x: Tensor) -> list[str]:
    """Names of the modules with parameters of their own, in the order of their first call."""
    order: dict[str, None] = {}
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: order.setdefault(name))
        for name, module in model.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return list(order)
