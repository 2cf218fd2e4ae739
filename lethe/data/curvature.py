"""Kronecker factors of a classifier's Fisher information, layer by layer (K-FAC).

    found = kronecker_factors(model, rows, device=device, most_rows=2000, seed=0)
    penalty(found.layers, changes)     # changes: by layer, how far its weight matrix moved

For a linear layer with inputs a (a one appended for the bias) and gradients g of the loss with
respect to its outputs, the Fisher block is taken as G (x) A, where A = E[a a^T] and G = E[g g^T]
(Martens and Grosse 2015, arXiv 1503.05671, section 3). A convolution is a linear layer on patches:
A is averaged over positions and G summed (Grosse and Martens 2016, arXiv 1602.01573, section 3).
For a change D of the weight matrix the quadratic form is tr(G D A D^T): to second order, twice the
divergence that the change makes on the rows. Labels are drawn from the model itself, so this is
the Fisher information and not the empirical one (Kunstner, Balles and Hennig 2019, arXiv
1905.12558).

A row of which the model is sure hardly has any: nothing small moves its answer. Above a temperature
of 1 the answers are softened first (logits through T), and rows that a larger change would move
count as well. That is ours.

It stands here because training keeps it with the model and unlearning compares with it.
"""

import copy
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lethe.data.fisher import READ_ROWS, choose_rows, row_labels
from lethe.data.rows import Rows
from lethe.errors import ModelError

MAX_SIDE = 1024  # of a factor; a layer with a wider one is left out
CHUNK_ROWS = 64

Layer = nn.Linear | nn.Conv1d | nn.Conv2d


@dataclass(frozen=True, eq=False)
class Factors:
    """Of one layer: `inputs` A is (I, I), `outputs` G is (O, O), both symmetric, float32.

    I counts the weights of one output, and one more for its bias.
    """

    inputs: Tensor
    outputs: Tensor

    def __post_init__(self) -> None:
        """Refuse factors that are not square.

        Raises:
            ValueError: if one is not.
        """
        for side in (self.inputs, self.outputs):
            if side.dim() != 2 or side.shape[0] != side.shape[1]:
                message = f"a factor has shape {tuple(side.shape)}, it must be square"
                raise ValueError(message)


@dataclass(frozen=True)
class Curvature:
    """Factors by name of the layer, on the CPU; means over `rows` rows."""

    layers: Mapping[str, Factors]
    rows: int


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""


def kronecker_factors(
    model: nn.Module,
    rows: Rows,
    *,
    device: torch.device,
    most_rows: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    labels: Tensor | None = None,
    progress: Callable[[int, int], None] = _silent,
) -> Curvature:
    """Factors of every `Linear`, `Conv1d` and `Conv2d` that runs once per forward pass.

    Left out are convolutions in groups or with padding other than zeros, layers with a factor of
    more than 1024 a side, and layers that do not run or run more than once. The model computes in
    eval mode, on a copy; it stays as it is.

    Args:
        model: from (B, *rows.shape) to logits (B, K).
        rows: labels 0..K-1, or -1 for rows to skip.
        device: where to compute.
        most_rows: take only so many rows, chosen by the seed; None: all of them.
        seed: of that choice, and of the labels that are drawn.
        temperature: the answers whose divergence is meant are softmax(logits / temperature).
        labels: (N,) int64 by position, if they are known already.
        progress: hears (rows done, rows in all).

    Raises:
        DataError: if no row has a known label.
        ModelError: if a gradient is not finite.
    """
    chosen = choose_rows(row_labels(rows) if labels is None else labels, most_rows, seed)
    network = copy.deepcopy(model).to(device).eval().requires_grad_(True)
    sums: dict[str, tuple[Tensor, Tensor]] = {}
    spoiled: set[str] = set()
    draws = torch.Generator().manual_seed(seed)
    done, left = 0, int(chosen.sum())
    with closing(rows.batches(READ_ROWS)) as batches:
        for batch in batches:
            for x in torch.split(batch.x[chosen[batch.positions]], CHUNK_ROWS):
                _add(network, x.to(device), draws, sums, spoiled, temperature=temperature)
                done += len(x)
                progress(done, left)
            if done == left:
                break
    layers = {
        name: Factors((inputs / done).float(), (outputs / done).float())
        for name, (inputs, outputs) in sums.items()
        if name not in spoiled
    }
    if not all(
        bool(f.inputs.isfinite().all() & f.outputs.isfinite().all()) for f in layers.values()
    ):
        raise ModelError(
            "The gradients of the model are not finite on its training rows, so it has no "
            "curvature. Nothing was changed. Train it with a lower `learning_rate`."
        )
    return Curvature(layers, done)


def weight_matrix(layer: nn.Module) -> Tensor:
    """The weights of a layer as (O, I), the bias as the last column if there is one."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)  # noqa: S101 (for mypy)
    flat = weight.flatten(1)
    return torch.cat((flat, bias[:, None]), 1) if isinstance(bias, Tensor) else flat


def penalty(layers: Mapping[str, Factors], changes: Mapping[str, Tensor]) -> Tensor:
    """The sum over the layers that changed of tr(G D A D^T); never negative, 0 without a change.

    Args:
        layers: factors by layer, on the changes' device.
        changes: D by layer, (O, I) as `weight_matrix` has it; at least one.

    Raises:
        KeyError: if a layer has no factors.
    """
    forms = [
        ((layers[name].outputs @ change @ layers[name].inputs) * change).sum()
        for name, change in changes.items()
    ]
    return torch.stack(forms).sum()


def _add(
    network: nn.Module,
    x: Tensor,
    draws: torch.Generator,
    sums: dict[str, tuple[Tensor, Tensor]],
    spoiled: set[str],
    *,
    temperature: float,
) -> None:
    """Add what rows (B, ...) bring to the sums; name layers that ran more than once."""
    patches: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def remember(name: str, layer: Layer, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        if name in outputs:
            spoiled.add(name)
            return output
        found = _patches(layer, inputs[0].detach()).double()
        flat = found.flatten(0, -2)
        patches[name] = (flat.T @ flat) / (len(flat) / len(x))
        outputs[name] = output
        return output.clone()  # an activation in place must not change what is differentiated

    with ExitStack() as hooks, torch.enable_grad():
        for name, layer in _layers(network).items():
            hook = layer.register_forward_hook(
                lambda module, inputs, output, name=name: remember(name, module, inputs, output)
            )
            hooks.callback(hook.remove)
        logits = network(x) / temperature
        if len(outputs) == 0:  # filled by the hooks
            return
        drawn = torch.multinomial(logits.detach().float().cpu().softmax(1), 1, generator=draws)
        loss = F.cross_entropy(logits, drawn[:, 0].to(x.device), reduction="sum")
        found = torch.autograd.grad(
            loss, list(outputs.values()), allow_unused=True, materialize_grads=True
        )
    for name, gradient in zip(outputs, found, strict=True):
        channels = (
            gradient
            if isinstance(network.get_submodule(name), nn.Linear)
            else gradient.movedim(1, -1)
        )
        flat = channels.flatten(0, -2).detach().double()
        both = (patches[name].cpu(), (flat.T @ flat).cpu())
        before = sums.get(name)
        sums[name] = both if before is None else (before[0] + both[0], before[1] + both[1])


def _layers(network: nn.Module) -> dict[str, Layer]:
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            inputs, outputs = module.in_features, module.out_features
        elif isinstance(module, nn.Conv1d | nn.Conv2d):
            if module.groups != 1 or module.padding_mode != "zeros":
                continue
            if isinstance(module.padding, str):
                continue
            inputs, outputs = module.weight[0].numel(), module.out_channels
        else:
            continue
        if max(inputs + (module.bias is not None), outputs) <= MAX_SIDE:
            found[name] = module
    return found


def _patches(layer: Layer, x: Tensor) -> Tensor:
    """What each output is a linear function of, (B, positions, I) or (B, I)."""
    if isinstance(layer, nn.Linear):
        found = x
    else:
        one = isinstance(layer, nn.Conv1d)  # a plane of height one
        padding = [int(side) for side in layer.padding]  # never in words: see `_layers`
        found = F.unfold(
            x[:, :, None] if one else x,
            (1, *layer.kernel_size) if one else layer.kernel_size,
            (1, *layer.dilation) if one else layer.dilation,
            (0, *padding) if one else tuple(padding),
            (1, *layer.stride) if one else layer.stride,
        ).transpose(1, 2)
    if layer.bias is None:
        return found
    return torch.cat((found, torch.ones_like(found[..., :1])), -1)
