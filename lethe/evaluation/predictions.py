"""Run a model over rows: logits, labels and, if wanted, the features its head sees.

outputs = predict(model, rows, device=device)
outputs.logits.argmax(1) == outputs.labels
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.errors import ModelError

MAX_FEATURE_ROWS = 2_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Predictions:
    """Outputs on N rows in stored order, on the CPU.

    `logits` is (N, K) float32 and `labels` (N,) int64. When features were asked for and the model
    has a linear layer, `features` is (M, D) float32 for the M <= 2,000 rows whose positions are in
    `feature_rows` (M,) int64; the same rows are chosen for every model.
    """

    logits: Tensor
    labels: Tensor
    features: Tensor | None = None
    feature_rows: Tensor | None = None


def predict(
    model: nn.Module,
    rows: Rows,
    *,
    device: torch.device,
    batch_size: int = 512,
    with_features: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Predictions:
    """Logits of every row, in eval mode and without gradients.

    The model computes on `device` and afterwards is where it was, each module in the mode it was
    in. Features are the input of the last `nn.Linear` executed, flattened per row; they are taken
    for at most 2,000 rows chosen by `seed`.

    Raises:
        ModelError: if there are no rows, or the outputs are not one vector of logits per row.
    """
    if not len(rows):
        raise ModelError("There are no rows to evaluate. Nothing was changed. Name a larger set.")
    chosen = _choose(len(rows), seed)
    logits, labels, features = [], [], []
    with _evaluating(model, device), torch.no_grad(), _head_input(model, wanted=with_features) as f:
        done = 0
        for batch in rows.batches(batch_size):
            output = model(batch.x.to(device))
            if not isinstance(output, Tensor) or output.shape[:-1] != batch.y.shape:
                raise ModelError(
                    f"The model gives {_shape(output)} for {len(batch.y)} rows; expected is one "
                    f"vector of logits per row. Nothing was changed. Adopt it with a factory that "
                    f"returns logits: `lethe model adopt`."
                )
            logits.append(output.float().cpu())
            labels.append(batch.y)
            if f and f[0].shape[0] == len(batch.y):
                keep = chosen[(chosen >= done) & (chosen < done + len(batch.y))] - done
                features.append(f[0].flatten(1)[keep.to(f[0].device)].float().cpu())
            done += len(batch.y)
            if progress is not None:
                progress(done, len(rows))
    return Predictions(
        logits=torch.cat(logits),
        labels=torch.cat(labels),
        features=torch.cat(features) if features else None,
        feature_rows=chosen if features else None,
    )


def _choose(count: int, seed: int) -> Tensor:
    if count <= MAX_FEATURE_ROWS:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:MAX_FEATURE_ROWS].sort().values


@contextmanager
def _evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode on a device; modes and device come back however the block ends."""
    modes = [(module, module.training) for module in model.modules()]
    first = next(iter(model.parameters()), None)
    home = device if first is None else first.device
    try:
        model.to(device).eval()
        yield
    finally:
        model.to(home)
        for module, training in modes:
            module.training = training


@contextmanager
def _head_input(model: nn.Module, *, wanted: bool) -> Iterator[list[Tensor]]:
    """A list that holds, after a forward pass, the input of the last linear layer executed."""
    found: list[Tensor] = []

    def remember(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[:] = inputs[:1]

    with ExitStack() as hooks:
        linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
        for module in linear if wanted else []:
            hooks.callback(module.register_forward_pre_hook(remember).remove)
        yield found


def _shape(output: object) -> str:
    return f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
