"""The diagonal of the empirical Fisher information of a classifier, over rows.

    found = fisher_diagonal(model, rows, device=device, most_rows=2000, seed=0)
    found.diagonal["head.weight"]   # of the parameter's shape, never negative

For parameter j it is the mean over rows of (d loss / d theta_j)^2, where the loss is the
cross-entropy on the row's own label (empirical: Kunstner, Balles and Hennig 2019,
arXiv 1905.12558, section 1). The square is taken of each row's gradient: that of a batch's mean
gradient is something else, and smaller.

It stands here because training keeps it with the model and unlearning compares with it.
"""

import copy
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from lethe.data.rows import Rows
from lethe.errors import DataError, ModelError

READ_ROWS = 512
MAX_CHUNK = 64  # rows whose gradients are held at once; more is not faster, measured on a CPU
CHUNK_BYTES = 256 * 1024**2

By = Literal["vmap", "loop"]
_Weights = dict[str, Tensor]
_PerRow = Callable[[_Weights, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Fisher:
    """`diagonal` by name of the parameter, float32 on the CPU; the mean over `rows` rows.

    `by` says how gradients were taken: for many rows at once, or row by row.
    """

    diagonal: Mapping[str, Tensor]
    rows: int
    by: By


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""


def fisher_diagonal(
    model: nn.Module,
    rows: Rows,
    *,
    device: torch.device,
    most_rows: int | None = None,
    seed: int = 0,
    labels: Tensor | None = None,
    progress: Callable[[int, int], None] = _silent,
) -> Fisher:
    """Squared gradients of each row's loss, averaged over rows with a known label.

    All floating-point parameters are taken, frozen ones too. The model computes in eval mode, on a
    copy; it stays as it is. Rows are read twice, once for their labels if these are not given.

    Args:
        model: from (B, *rows.shape) to logits (B, K).
        rows: labels 0..K-1, or -1 for rows to skip.
        device: where to compute.
        most_rows: take only so many rows, chosen by the seed; None: all of them.
        seed: of that choice.
        labels: (N,) int64 by position, if they are known already.
        progress: hears (rows done, rows in all).

    Raises:
        DataError: if no row has a known label.
        ModelError: if a gradient is not finite.
    """
    chosen = choose_rows(row_labels(rows) if labels is None else labels, most_rows, seed)
    network = copy.deepcopy(model).to(device).eval()
    gradients = _Gradients(network)
    done, left = 0, int(chosen.sum())
    with closing(rows.batches(READ_ROWS)) as batches:
        for batch in batches:
            wanted = chosen[batch.positions]
            for x, y in zip(
                torch.split(batch.x[wanted], gradients.chunk),
                torch.split(batch.y[wanted], gradients.chunk),
                strict=True,
            ):
                gradients.add(x.to(device), y.to(device))
                done += len(y)
                progress(done, left)
            if done == left:
                break
    diagonal = {name: (total / done).float() for name, total in gradients.totals.items()}
    if not all(bool(torch.isfinite(one).all()) for one in diagonal.values()):
        raise ModelError(
            "The gradients of the model are not finite on its training rows, so it has no Fisher "
            "information. Nothing was changed. Train it with a lower `learning_rate`."
        )
    return Fisher(diagonal, done, gradients.by)


def row_labels(rows: Rows) -> Tensor:
    """(N,) int64 by position."""
    labels = torch.full((len(rows),), -1, dtype=torch.int64)
    with closing(rows.batches(READ_ROWS)) as batches:
        for batch in batches:
            labels[batch.positions] = batch.y
    return labels


def choose_rows(labels: Tensor, most_rows: int | None, seed: int) -> Tensor:
    """(N,) bool by position: the rows to take, all with a known label."""
    known = (labels >= 0).nonzero().flatten()
    if not len(known):
        raise DataError(
            "No row has a label that the model knows. Nothing was changed. `lethe data show` "
            "prints the classes of a data set."
        )
    if most_rows is not None and len(known) > most_rows:
        order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
        known = known[order[:most_rows]]
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[known] = True
    return chosen


class _Gradients:
    """Sums of squared gradients; falls back to row by row where rows cannot be taken at once."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._weights: _Weights = {
            name: weight.detach()
            for name, weight in network.named_parameters()
            if weight.is_floating_point()
        }
        self.totals = {
            name: torch.zeros(weight.shape, dtype=torch.float64)
            for name, weight in self._weights.items()
        }
        size = sum(weight.numel() * weight.element_size() for weight in self._weights.values())
        self.chunk = max(1, min(MAX_CHUNK, CHUNK_BYTES // max(1, size)))
        self.by: By = "vmap"

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add the squared gradients of rows (B, ...) with labels (B,)."""
        if self.by == "vmap":
            try:
                found = self._at_once(x, y)
            except (RuntimeError, ValueError):  # an operation without a batching rule, or memory
                self.by = "loop"
            else:
                self._sum(found)
                return
        for row, label in zip(x, y, strict=True):
            self._sum(self._one(row, label))

    def _loss(self, weights: _Weights, x: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of one row."""
        logits = functional_call(self._network, weights, (x[None],))
        return F.cross_entropy(logits, y[None])

    def _at_once(self, x: Tensor, y: Tensor) -> _Weights:
        per_row: Callable[..., _Weights] = vmap(grad(self._loss), in_dims=(None, 0, 0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that an operation is batched slowly
            found = per_row(self._weights, x, y)
            return {name: one.square().sum(0) for name, one in found.items()}

    def _one(self, x: Tensor, y: Tensor) -> _Weights:
        weights = {name: one.clone().requires_grad_() for name, one in self._weights.items()}
        # cuDNN has no backward pass for recurrent layers in eval mode.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            loss = self._loss(weights, x, y)
            found = torch.autograd.grad(
                loss, list(weights.values()), allow_unused=True, materialize_grads=True
            )
        return {name: one.square() for name, one in zip(weights, found, strict=True)}

    def _sum(self, found: _Weights) -> None:
        for name, one in found.items():
            # Apple's MPS has no float64.
            self.totals[name] += one.detach().cpu().double()
