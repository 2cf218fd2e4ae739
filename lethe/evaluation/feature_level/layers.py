"""Which layers to look at, and what they hold for given rows.

    layers = pick_layers(model, x)
    seen = capture(model, rows, layers, device=device)
    seen.by_layer["features"], seen.labels

A layer is a module with weights of its own (a convolution, a linear, recurrent or attention layer);
normalisations, which hold vectors only, are not counted. Its activation is its output, before any
nonlinearity. `features` is the input of the head: of the last `nn.Linear` executed, or, in a
network without one, of the last layer.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.errors import ModelError
from lethe.evaluation.feature_level.sampling import choose
from lethe.evaluation.predictions import BATCH_SIZE, evaluating

FEATURES = "features"
MAX_LAYERS = 6
MAX_ROWS = 1_000
MAX_WIDTH = 4_096

_CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)

_Seen = dict[str, Tensor | None]


@dataclass(frozen=True)
class Activations:
    """What layers hold for N rows in stored order, on the CPU.

    `by_layer` maps a layer to (N, D) float32; `labels` is (N,) int64, -1 for a label that the model
    does not know; `positions` (N,) int64 says which rows of the set they are.
    """

    by_layer: dict[str, Tensor]
    labels: Tensor
    positions: Tensor


def pick_layers(model: nn.Module, sample: Tensor, *, most: int = MAX_LAYERS) -> list[str]:
    """Names of at most `most` layers in running order, evenly chosen, `features` last.

    The first layer is always among them where there is room; the head itself is not, since its
    output is the output level. A layer whose output has not one entry per row is left out, and so
    is one that is itself called "features". Runs the sample twice; the model is left as it was.

    Args:
        model: inputs (B, *shape) to logits (B, K).
        sample: a few inputs (B, *shape).
        most: how many names, at least one.

    Returns:
        The names; none for a network without layers.
    """
    order, head = _running_order(model, sample)
    if head is None:
        return []
    before = [name for name in order if name not in (head, FEATURES)]
    count = min(most - 1, len(before))
    places = torch.linspace(0, len(before) - 1, count).round().int().tolist() if count > 0 else []
    return [*(before[place] for place in places), FEATURES]


def head_of(model: nn.Module, sample: Tensor) -> str | None:
    """Name of the layer whose input is `features`; None for a network without layers."""
    return _running_order(model, sample)[1]


def capture(
    model: nn.Module,
    rows: Rows,
    layers: Sequence[str],
    *,
    device: torch.device,
    positions: Tensor | None = None,
    limit: int = MAX_ROWS,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> Activations:
    """What the named layers hold for some rows, one vector per row.

    An activation of more than 4,096 numbers per row is averaged over space or time, which leaves
    its channels; any other is flattened. Only chosen rows go through the network, in eval mode and
    without gradients; afterwards the model is where it was, in the modes it was in, without hooks.

    Args:
        model: inputs (B, *shape) to logits (B, K).
        rows: read once, in stored order.
        layers: names as `pick_layers` gives them.
        device: where to compute.
        positions: which rows; default: at most `limit`, chosen by `seed` and the number of rows
            alone, so that every model sees the same.
        limit: rows at most, where no positions are given.
        seed: of the choice.
        batch_size: rows that are read together.

    Raises:
        ModelError: if there are no rows, or a layer does not exist, is not executed, or gives no
            entry per row.
    """
    chosen = choose(len(rows), limit, seed=seed) if positions is None else positions
    if not len(chosen):
        raise ModelError("There are no rows to evaluate. Nothing was changed. Name a larger set.")
    found: dict[str, list[Tensor]] = {name: [] for name in layers}
    labels, places = [], []
    with evaluating(model, device), _watching(model, layers) as seen:
        for batch in rows.batches(batch_size):
            keep = torch.isin(batch.positions, chosen)
            if not keep.any():
                continue
            seen.clear()
            with torch.no_grad():
                model(batch.x[keep].to(device))
            for name, parts in found.items():
                parts.append(_expected(seen.get(name), name, int(keep.sum())))
            labels.append(batch.y[keep])
            places.append(batch.positions[keep])
    by_layer = {name: torch.cat(parts) for name, parts in found.items()}
    return Activations(by_layer, torch.cat(labels), torch.cat(places))


def _expected(activation: Tensor | None, name: str, count: int) -> Tensor:
    if activation is None or len(activation) != count:
        raise ModelError(
            f"Layer {name!r} gives no activation per row: it is not there, is not executed, or its "
            f"output is not a tensor with one entry per row. Nothing was changed. Choose layers "
            f"with `pick_layers`."
        )
    return activation


@contextmanager
def _watching(model: nn.Module, layers: Sequence[str]) -> Iterator[_Seen]:
    """A dictionary that holds, after a forward pass, what each named layer gave last."""
    seen: _Seen = {}

    def output(name: str) -> Callable[..., None]:
        def remember(module: nn.Module, _inputs: object, output: object) -> None:
            seen[name] = _vectors(module, output)

        return remember

    def head_input(module: nn.Module, inputs: tuple[object, ...]) -> None:
        seen[FEATURES] = _vectors(module, inputs)

    modules = _weighted(model)
    heads = [module for module in modules.values() if isinstance(module, nn.Linear)]
    with ExitStack() as hooks:
        for name in layers:
            if name != FEATURES and name in modules:
                hook = modules[name].register_forward_hook(output(name))
                hooks.callback(hook.remove)
        for module in (heads or modules.values()) if FEATURES in layers else ():
            hooks.callback(module.register_forward_pre_hook(head_input).remove)
        yield seen


def _vectors(module: nn.Module, value: object) -> Tensor | None:
    """One vector per row, (N, D) float32 on the CPU, as a copy: what follows may work in place."""
    tensor = _by_row(module, value)
    if tensor is None or not tensor.numel():
        return None
    if tensor.dim() > 2 and tensor[0].numel() > MAX_WIDTH:
        channels = 1 if isinstance(module, _CONVOLUTIONS) else tensor.dim() - 1
        tensor = tensor.movedim(channels, 1).flatten(2).mean(2)
    return tensor.detach().reshape(len(tensor), -1).float().cpu().clone()


def _by_row(module: nn.Module, value: object) -> Tensor | None:
    """The first tensor of a layer's inputs or outputs, rows in front."""
    while isinstance(value, tuple | list) and value:
        value = value[0]
    if not isinstance(value, Tensor) or not value.dim():
        return None
    time_first = getattr(module, "batch_first", True) is False and value.dim() == 3
    return value.transpose(0, 1) if time_first else value


def _weighted(model: nn.Module) -> dict[str, nn.Module]:
    """Modules with weights of their own; a parametrised one (weight norm) has them one level down.

    The model itself is none: its output is the output level.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if name
        and (
            isinstance(module, (nn.Linear, *_CONVOLUTIONS))
            or any(weight.dim() > 1 for weight in module.parameters(recurse=False))
        )
    }


def _running_order(model: nn.Module, sample: Tensor) -> tuple[list[str], str | None]:
    """Layers with one entry per row in the order in which they first end, and the head's name."""
    first = next(model.parameters(), None)
    device = sample.device if first is None else first.device
    x = sample.to(device)
    sizes: list[dict[str, int]] = []
    calls: list[str] = []

    def remember(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: object, output: object) -> None:
            tensor = _by_row(module, output)
            sizes[-1].setdefault(name, -1 if tensor is None else len(tensor))
            calls.append(name)

        return hook

    modules = _weighted(model)
    # Two sizes: a dimension of time may happen to be as long as the batch.
    samples = (x, torch.cat([x, x[:1]]))
    with evaluating(model, device), ExitStack() as hooks, torch.no_grad():
        for name, module in modules.items():
            hooks.callback(module.register_forward_hook(remember(name)).remove)
        for one in samples:
            sizes.append({})
            model(one)
    counts = [len(one) for one in samples]
    order = [name for name in sizes[0] if [size.get(name) for size in sizes] == counts]
    heads = [name for name in calls if isinstance(modules[name], nn.Linear)] or calls
    return order, heads[-1] if heads else None
