"""How high a loss people's rows have with networks that never saw the person.

    found = cross_fit(rows, subjects, recipe, classes=7, device=device, seed=0, mark=fingerprint)
    make_card(..., unseen=found)

The people are dealt into folds in the order of their ids; for each fold a network is trained by the
recipe on everybody else, and its loss on the fold's rows is noted. The networks are thrown away.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lethe.data.rows import Rows, rows_where
from lethe.data.unseen_people import UnseenPeople, person_tables
from lethe.errors import DataError
from lethe.models.training import TrainingSettings, new_network, train

BATCH_ROWS = 512


@dataclass(frozen=True)
class CrossFitted:
    """People's losses, the number of networks they come from, and the wall time that took."""

    people: UnseenPeople
    folds: int
    seconds: float


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""


def cross_fit(
    rows: Rows,
    subjects: Sequence[str | None],
    recipe: TrainingSettings,
    *,
    classes: int,
    device: torch.device,
    seed: int,
    mark: Callable[[str], str],
    allowed: Sequence[str] = ("lethe.models.networks",),
    progress: Callable[[int, int], None] = _silent,
) -> CrossFitted:
    """Train `recipe.unseen_folds` networks, each without some people, and ask them about these.

    Rows of nobody are trained on every time.

    Args:
        rows: training rows, labels 0..K-1 or -1.
        subjects: whose row is which, by position; None for nobody's.
        recipe: how the network itself is trained.
        classes: K.
        device: where to compute.
        seed: of weights and order, as of the network itself.
        mark: turns a subject id into what the table names the person by.
        allowed: modules that factories may come from.
        progress: hears (networks trained, networks in all).

    Raises:
        DataError: if there are fewer people than folds, or ids are not one for every row.
        ModelError: as training does.
    """
    started = time.perf_counter()
    ids = sorted({one for one in subjects if one is not None})
    folds = recipe.unseen_folds
    if len(subjects) != len(rows) or not 2 <= folds <= len(ids):
        raise DataError(
            f"The recipe asks for {folds} networks that each never saw some people (unseen_folds), "
            f"and the training rows are of {len(ids)} people. Nothing was trained. Set it to 0, or "
            f"to 2 up to the number of people, in params.yaml."
        )
    number = {one: at for at, one in enumerate(ids)}
    person = torch.tensor([-1 if one is None else number[one] for one in subjects])
    losses, labels = torch.zeros(len(rows)), torch.full((len(rows),), -1)
    for fold in range(folds):
        out = (person >= 0) & (person % folds == fold)
        network = new_network(recipe, seed=seed, allowed=allowed)
        trained = train(network, rows_where(rows, ~out), recipe, device=device, seed=seed).model
        losses[out], labels[out] = _ask(trained.to(device), rows, out, device)
        progress(fold + 1, folds)
    found = {}
    for at, one in enumerate(ids):
        mine = (person == at) & (labels >= 0)
        if (tables := person_tables(losses[mine], labels[mine], classes)) is not None:
            found[mark(one)] = tables
    if not found:
        raise DataError(
            "Nobody has five training rows with a label that the model knows. Nothing was kept. "
            "Set `unseen_folds` to 0 in params.yaml."
        )
    order = sorted(found)
    people = UnseenPeople(
        tuple(order), *(torch.stack([found[one][part] for one in order]) for part in range(3))
    )
    return CrossFitted(people, folds, time.perf_counter() - started)


@torch.no_grad()
def _ask(
    network: nn.Module, rows: Rows, out: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Loss and label, each (m,), of the rows in the mask `out`; -1 for a label not known."""
    losses, labels = torch.zeros(len(rows)), torch.full((len(rows),), -1)
    with closing(rows.batches(BATCH_ROWS)) as batches:
        for batch in batches:
            mine = out[batch.positions] & (batch.y >= 0)
            if bool(mine.any()):
                where, y = batch.positions[mine], batch.y[mine]
                logits = network(batch.x[mine].to(device)).float().cpu()
                losses[where] = F.cross_entropy(logits, y, reduction="none")
                labels[where] = y
    return losses[out], labels[out]
