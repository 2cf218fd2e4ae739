"""How long an edit goes on and at which rate: until nothing is recognised, then the repair.

The learning rate stays constant, or grows when nothing happens, until no forget row of an epoch is
recognised any more; then follows the repair, at a rate that falls to zero.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from lethe.errors import MethodError
from lethe.unlearning.method import Progress

Step = TypeVar("Step")

# A rate that suits most networks is far too small for some. After this many steps it grows with
# every step that still recognises a forget row, up to this factor. Where nothing is recognised any
# more it stays: an epoch may have hundreds of steps left before that counts.
PATIENCE = 40
LARGEST_GROWTH = 30.0


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; `target` is the share of forget rows that may stay recognised."""

    epochs: int
    repair_epochs: int
    learning_rate: float
    growth: float
    batch_size: int
    target: float


class Outcome(NamedTuple):
    """Curves with one value per epoch each and a sentence on why the edit ended."""

    curves: Mapping[str, list[float]]
    stopped: str


def until_forgotten(
    optimizer: torch.optim.Optimizer,
    steps: Callable[[torch.Generator], Iterator[tuple[float, Step]]],
    update: Callable[[Step], Tensor],
    schedule: Schedule,
    *,
    curves: Sequence[str],
    seed: int,
    progress: Progress,
) -> Outcome:
    """Update until the forget rows are forgotten, and repair.

    Args:
        optimizer: over the weights that change.
        steps: of one epoch; each with the share of the epoch that lies before it.
        update: makes one step; sums over its forget rows in the order of `curves`, and their
            number.
        schedule: how long and how fast.
        curves: names of what is summed; the last is the share of rows that are recognised.
        seed: of the generator that `steps` draws from.
        progress: hears of every epoch.

    Raises:
        MethodError: if a loss or a weight stops being finite.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    found: dict[str, list[float]] = {name: [] for name in curves}
    forgotten_at: int | None = None
    generator = torch.Generator().manual_seed(seed)
    taken = stuck = 0
    for epoch in range(schedule.epochs + schedule.repair_epochs):
        sums = torch.zeros(len(curves) + 1, device=weights[0].device)
        for at, step in steps(generator):
            repaired = None if forgotten_at is None else epoch - forgotten_at + at
            rate = _rate(schedule, stuck, repaired)
            for group in optimizer.param_groups:
                group["lr"] = rate
            taken += 1
            values = update(step)
            if forgotten_at is None and taken >= PATIENCE:
                stuck += bool(values[-2] > schedule.target * values[-1])
            sums += values
        *means, _ = (sums / sums[-1]).tolist()
        if not all(map(math.isfinite, means)) or not all(w.isfinite().all() for w in weights):
            raise MethodError(
                f"The edit diverged in epoch {epoch + 1}: a loss or a weight is not finite. The "
                f"model was left as it was. Lower `learning_rate` in the method's options."
            )
        for name, mean in zip(curves, means, strict=True):
            found[name].append(mean)
        if forgotten_at is None and means[-1] <= schedule.target:
            forgotten_at = epoch + 1
        last = schedule.epochs if forgotten_at is None else forgotten_at + schedule.repair_epochs
        progress(epoch + 1, last)
        if epoch + 1 == last:
            break
    share = means[-1]
    if forgotten_at is None or share > schedule.target:
        return Outcome(found, f"Not forgotten: {share:.1%} recognised after {epoch + 1} epochs.")
    return Outcome(
        found, f"Forgotten after {forgotten_at} epochs, {epoch + 1 - forgotten_at} of repair."
    )


def _rate(schedule: Schedule, stuck: int, repaired: float | None) -> float:
    """The rate after so many steps without success; or after so many epochs of repair."""
    if repaired is None:
        return schedule.learning_rate * min(schedule.growth**stuck, LARGEST_GROWTH)
    done = repaired / schedule.repair_epochs
    return schedule.learning_rate * (1 + math.cos(math.pi * done)) / 2
