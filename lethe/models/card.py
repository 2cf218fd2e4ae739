"""Make the training card of a model while its data are at hand.

    card = make_card(
        model, train_rows, held_out_rows, classes, device=device, seed=0, about=About(...)
    )
    card.save(path)

See `lethe.data.training_card` for what it holds and what it keeps to itself.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lethe.data.card_facts import LEVELS, MIN_ROWS, CardFacts
from lethe.data.curvature import Curvature, kronecker_factors
from lethe.data.fisher import Fisher, fisher_diagonal
from lethe.data.rows import Rows
from lethe.data.training_card import TrainingCard
from lethe.errors import DataError, ModelError
from lethe.models.cross_fitting import CrossFitted

BATCH_ROWS = 512
FISHER_ROWS = 2_000
CURVATURE_ROWS = 5_000
CURVATURE_TEMPERATURE = 3.0  # chosen in docs/methods/calibrated.md


@dataclass(frozen=True)
class About:
    """What a card is about: the weights' SHA-256, and the data set at one commit."""

    weights_sha256: str
    dataset: str
    dvc_md5: str
    git_rev: str


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""


def make_card(
    model: nn.Module,
    train_rows: Rows,
    held_out_rows: Rows | None,
    classes: Sequence[str],
    *,
    device: torch.device,
    seed: int,
    about: About,
    fisher_rows: int = FISHER_ROWS,
    curvature_rows: int = 0,
    curvature_temperature: float = CURVATURE_TEMPERATURE,
    unseen: CrossFitted | None = None,
    progress: Callable[[int, int], None] = _silent,
) -> TrainingCard:
    """Run the model over its rows and keep what the card may hold.

    Rows labelled -1 are skipped. The model computes in eval mode, on a copy; it stays as it is.

    Args:
        model: from (B, *rows.shape) to logits (B, K).
        train_rows: what it was trained on, labels 0..K-1 or -1.
        held_out_rows: rows it was not trained on; None if there are none.
        classes: K names in the order of the logits.
        device: where to compute.
        seed: of the choice of rows for the Fisher information.
        about: what is described.
        fisher_rows: most rows in the Fisher information; 0 leaves it out.
        curvature_rows: most rows in the Kronecker factors; 0 leaves them out.
        curvature_temperature: softens the answers that these are about.
        unseen: people's losses with networks that never saw them, if there are any.
        progress: hears (rows done, rows in all) of the Fisher information, which takes longest.

    Raises:
        DataError: if fewer than five training rows have a known label.
        ModelError: if the outputs are not one finite vector of K logits per row.
    """
    network = copy.deepcopy(model).to(device).eval()
    train = _look(network, train_rows, len(classes), device)
    known = int((train.labels >= 0).sum())
    if known < MIN_ROWS:
        raise DataError(
            f"{known} training rows have a label that the model knows; a training card takes "
            f"{MIN_ROWS} at least. Nothing was changed. `lethe data show` prints what a data set "
            f"holds."
        )
    held_out = (
        _Seen() if held_out_rows is None else _look(network, held_out_rows, len(classes), device)
    )
    count = len(classes)
    rows, held_out_counts = train.counts(count), held_out.counts(count)
    fisher = (
        fisher_diagonal(
            network,
            train_rows,
            device=device,
            most_rows=fisher_rows,
            seed=seed,
            labels=train.labels,
            progress=progress,
        )
        if fisher_rows
        else Fisher({}, 0, "vmap")
    )
    curvature = (
        kronecker_factors(
            network,
            train_rows,
            device=device,
            most_rows=curvature_rows,
            seed=seed,
            temperature=curvature_temperature,
            labels=train.labels,
        )
        if curvature_rows
        else Curvature({}, 0)
    )
    enough = held_out_counts >= MIN_ROWS
    accuracy = held_out.right(count) / held_out_counts.clamp(min=1)
    return TrainingCard(
        classes=tuple(classes),
        facts=CardFacts(
            weights_sha256=about.weights_sha256,
            dataset=about.dataset,
            dvc_md5=about.dvc_md5,
            git_rev=about.git_rev,
            seed=seed,
            fisher_rows=fisher.rows,
            fisher_by=fisher.by if fisher.rows else "none",
            curvature_rows=curvature.rows,
            curvature_temperature=curvature_temperature if curvature.rows else 1.0,
            unseen_folds=0 if unseen is None else unseen.folds,
        ),
        train_rows=rows,
        held_out_rows=held_out_counts,
        held_out_accuracy=torch.where(enough, accuracy, 0.0).float(),
        feature_means=train.means(rows),
        train_loss=train.quantiles_by_class(count),
        held_out_loss=held_out.quantiles_by_class(count),
        all_train_loss=train.quantiles(),
        all_held_out_loss=held_out.quantiles(),
        fisher=fisher.diagonal,
        curvature=curvature.layers,
        unseen=None if unseen is None else unseen.people,
    )


@dataclass
class _Seen:
    """What one split showed: by position label, loss and hit, and the features' sums by class."""

    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    losses: Tensor = field(default_factory=lambda: torch.zeros(0))
    hits: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    sums: Tensor | None = None

    def counts(self, classes: int) -> Tensor:
        """(K,) int64, rows with each label."""
        return torch.bincount(self.labels[self.labels >= 0], minlength=classes)

    def right(self, classes: int) -> Tensor:
        """(K,) int64, those of them that were answered with it."""
        return torch.bincount(self.labels[self.hits], minlength=classes)

    def means(self, counts: Tensor) -> Tensor:
        """(K, D) float32, zero for a class with too few rows."""
        if self.sums is None:
            return torch.zeros(len(counts), 0)
        means = self.sums / counts.clamp(min=1)[:, None]
        return torch.where((counts >= MIN_ROWS)[:, None], means, 0.0).float()

    def quantiles(self, label: int | None = None) -> Tensor | None:
        """(Q,) float32 of the losses of one class, or of all; None with too few rows."""
        of = self.labels >= 0 if label is None else self.labels == label
        if int(of.sum()) < MIN_ROWS:
            return None
        return torch.tensor(np.quantile(self.losses[of].numpy(), LEVELS), dtype=torch.float32)

    def quantiles_by_class(self, classes: int) -> Tensor:
        """(K, Q) float32, zero for a class with too few rows."""
        table = torch.zeros(classes, len(LEVELS))
        for label in range(classes):
            if (own := self.quantiles(label)) is not None:
                table[label] = own
        return table


def _look(network: nn.Module, rows: Rows, classes: int, device: torch.device) -> _Seen:
    """One pass over the rows of a split."""
    found = _Seen(
        labels=torch.full((len(rows),), -1, dtype=torch.int64),
        losses=torch.zeros(len(rows)),
        hits=torch.zeros(len(rows), dtype=torch.bool),
    )
    with _head_input(network) as head, closing(rows.batches(BATCH_ROWS)) as batches:
        for batch in batches:
            known = batch.y >= 0
            if not bool(known.any()):
                continue
            where, y = batch.positions[known], batch.y[known]
            with torch.no_grad():
                logits = network(batch.x[known].to(device))
            _check(logits, len(y), classes)
            logits = logits.float().cpu()
            found.labels[where] = y
            found.losses[where] = F.cross_entropy(logits, y, reduction="none")
            found.hits[where] = logits.argmax(1) == y
            if head and head[0].shape[0] == len(y):
                features = head[0].flatten(1).cpu().double()
                if found.sums is None:
                    found.sums = torch.zeros(classes, features.shape[1], dtype=torch.float64)
                found.sums.index_add_(0, y, features)
    return found


def _check(logits: object, rows: int, classes: int) -> None:
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (rows, classes):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"The model answers with {shape} where {(rows, classes)} is expected: one logit for "
            f"each of {classes} classes. Nothing was changed. Name the classes of the model when "
            f"adopting it: `lethe model adopt NAME/NUMBER --factory MODULE:CALLABLE --classes A,B`."
        )
    if not bool(torch.isfinite(logits).all()):
        raise ModelError(
            "The model's logits are not finite on its own rows, so they have no loss to keep. "
            "Nothing was changed. Train it with a lower `learning_rate`."
        )


@contextmanager
def _head_input(network: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds, after a forward pass, the input of the last linear layer executed."""
    found: list[Tensor] = []

    def remember(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[:] = inputs[:1]

    with ExitStack() as hooks:
        for module in network.modules():
            if isinstance(module, nn.Linear):
                hooks.callback(module.register_forward_pre_hook(remember).remove)
        yield found
