"""Run a model over rows: logits, labels and, if wanted, the features its head sees.

outputs = predict(model, rows, device=device)
outputs.logits.argmax(1) == outputs.labels
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.errors import ModelError

BATCH_SIZE = 512
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


def stream(
    models: Sequence[nn.Module],
    rows: Rows,
    *,
    device: torch.device,
    batch_size: int = BATCH_SIZE,
) -> Generator[tuple[list[Tensor], Tensor], None, None]:
    """Batch by batch, the logits (B, K) float32 of every model and the labels (B,), on the CPU.

    All models see a batch before the next one is read, so that rows are read once and nothing
    piles up. They compute in eval mode on `device` without gradients; afterwards each is where it
    was, every module in the mode it was in.

    Raises:
        ModelError: if a model's output is not one vector of logits per row.
    """
    with ExitStack() as prepared:
        for model in models:
            prepared.enter_context(evaluating(model, device))
        for batch in rows.batches(batch_size):
            x = batch.x.to(device)
            # Per batch: a generator must not leave gradients switched off while it is suspended.
            with torch.no_grad():
                outputs = [_logits(model(x), len(batch.y)) for model in models]
            yield outputs, batch.y


def predict(
    model: nn.Module,
    rows: Rows,
    *,
    device: torch.device,
    batch_size: int = BATCH_SIZE,
    with_features: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Predictions:
    """Logits of every row, as `stream` computes them.

    Features are the input of the last `nn.Linear` executed, flattened per row; they are taken for
    at most 2,000 rows chosen by `seed`.

    Raises:
        ModelError: if there are no rows, or the outputs are not one vector of logits per row.
    """
    if not len(rows):
        raise ModelError("There are no rows to evaluate. Nothing was changed. Name a larger set.")
    chosen = _choose(len(rows), seed)
    logits, labels, features = [], [], []
    done = 0
    with (
        _head_input(model, wanted=with_features) as head,
        closing(stream([model], rows, device=device, batch_size=batch_size)) as batches,
    ):
        for (output,), y in batches:
            logits.append(output)
            labels.append(y)
            if head and head[0].shape[0] == len(y):
                keep = chosen[(chosen >= done) & (chosen < done + len(y))] - done
                features.append(head[0].flatten(1)[keep.to(head[0].device)].float().cpu())
            done += len(y)
            if progress is not None:
                progress(done, len(rows))
    return Predictions(
        logits=torch.cat(logits),
        labels=torch.cat(labels),
        features=torch.cat(features) if features else None,
        feature_rows=chosen if features else None,
    )


def _logits(output: object, count: int) -> Tensor:
    if not isinstance(output, Tensor) or output.shape[:-1] != (count,):
        shape = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output)
        raise ModelError(
            f"The model gives {shape} for {count} rows; expected is one vector of logits per row. "
            f"Nothing was changed. Adopt it with a factory that returns logits: "
            f"`lethe model adopt`."
        )
    return output.float().cpu()


def _choose(count: int, seed: int) -> Tensor:
    if count <= MAX_FEATURE_ROWS:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:MAX_FEATURE_ROWS].sort().values


@contextmanager
def evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
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
