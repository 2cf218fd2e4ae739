"""The edit: push the forget classes away and pull the rest into place until they are forgotten.

Every step takes some forget rows, some of their probes and some anchors, so that an epoch passes
each of them about once. How long and how fast, and the repair at the end, with the same loss, are
`lethe.unlearning.schedule`'s.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.unlearning.inside import Inside
from lethe.unlearning.intensity import Pivot, restoring
from lethe.unlearning.layers import with_features
from lethe.unlearning.method import Progress
from lethe.unlearning.schedule import Outcome, Schedule, until_forgotten


class Reference(NamedTuple):
    """Inputs (m, ...), the original's logits (m, K) and a label (m,) for each.

    `features` are what the original's head saw of them, (m, D); (m, 0) where they are not needed.
    """

    inputs: Tensor
    logits: Tensor
    labels: Tensor
    features: Tensor


@dataclass(frozen=True)
class Material:
    """What the edit learns from, on the CPU.

    `labels` (n,) and `logits` (n, K) belong to the forget rows, by position.
    """

    rows: Rows
    labels: Tensor
    logits: Tensor
    probes: Reference
    anchors: Reference
    forgotten: Tensor


@dataclass(frozen=True)
class Objective:
    """Push on (logits, instructions), pull on (logits, the original's logits); one value per row.

    A term that is None is left out, and so is the pivot of an edit at full intensity. An epoch
    passes `epoch_rows` forget rows at most; all where it is None.
    """

    push: Callable[[Tensor, Tensor], Tensor] | None
    pull: Callable[[Tensor, Tensor], Tensor] | None
    push_weight: float
    pull_weight: float
    push_on_probes: bool
    epoch_rows: int | None = None
    inside: Inside | None = None
    pivot: Pivot | None = None


class _Step(NamedTuple):
    """What one step learns from."""

    rows: Reference
    probes: Reference
    anchors: Reference


CURVES = ("loss", "push", "pull", "forget_accuracy")


def push_pull(
    student: nn.Module,
    material: Material,
    objective: Objective,
    schedule: Schedule,
    *,
    device: torch.device,
    seed: int,
    progress: Progress,
) -> Outcome:
    """Edit the weights of `student` that require gradients, in place.

    Raises:
        MethodError: if a loss or a weight stops being finite.
    """
    weights = [weight for weight in student.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=schedule.learning_rate)
    forgotten = material.forgotten.to(device)
    return until_forgotten(
        optimizer,
        lambda generator: _steps(material, schedule.batch_size, objective.epoch_rows, generator),
        lambda step: _update(student, optimizer, _to(step, device), objective, forgotten),
        schedule,
        curves=CURVES,
        seed=seed,
        progress=progress,
    )


def _update(
    student: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: _Step,
    objective: Objective,
    forgotten: Tensor,
) -> Tensor:
    """One optimiser step; sums over the forget rows in the order of CURVES, and their number."""
    parts = (step.rows, step.probes, step.anchors)
    inputs, sizes = torch.cat([p.inputs for p in parts]), [len(p.inputs) for p in parts]
    if objective.inside is None:
        logits, moved = student(inputs), None
    else:
        features, logits = with_features(student, objective.inside.head_of(student), inputs)
        moved = objective.inside.loss(
            torch.split(features, sizes), step.rows.labels, step.anchors.features
        )
    clean, probes, anchors = logits.split(sizes)
    zero = logits.new_zeros(())
    push = pull = zero
    if objective.push is not None:
        pushed = (probes, step.probes) if objective.push_on_probes else (clean, step.rows)
        push = objective.push(pushed[0], pushed[1].labels).mean()
    if objective.pull is not None:
        for student_logits, part in zip((clean, probes, anchors), parts, strict=True):
            if len(student_logits):
                pull = pull + objective.pull(student_logits, part.logits).mean()
    away, hold = objective.push_weight * push, objective.pull_weight * pull
    loss = away + hold
    if moved is not None and objective.inside is not None:
        inside = objective.inside.weight * moved
        away, loss = away + inside, loss + inside
    count = len(clean)
    recognised = forgotten[clean.argmax(1)].float().mean()
    if objective.pivot is not None:
        back = restoring(clean, step.rows.logits).mean()
        loss = objective.pivot.loss(recognised, away=away, hold=hold, back=back)
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    values = torch.stack((loss, push, pull, recognised, torch.ones_like(zero)))
    return values.detach() * count


def _steps(
    material: Material, batch_size: int, epoch_rows: int | None, generator: torch.Generator
) -> Iterator[tuple[float, _Step]]:
    """Steps of one epoch, each with the share of the epoch that lies before it.

    Forget rows fewer than the anchors are passed several times; of many, some.
    """
    rows, probes, anchors = material.rows, material.probes, material.anchors
    passes = max(1, len(anchors.inputs) // len(rows))
    total = passes * len(rows)
    if epoch_rows is not None and passes == 1:
        total = min(total, epoch_rows)
    steps = math.ceil(max(total, len(anchors.inputs)) / batch_size)
    size = math.ceil(total / steps)
    next_probes = _endless(probes, total, batch_size, generator)
    next_anchors = _endless(anchors, total, batch_size, generator)
    seen = 0
    for _ in range(passes):
        seed = int(torch.randint(2**31 - 1, (), generator=generator))
        with closing(rows.batches(size, seed=seed)) as batches:
            for batch in batches:
                at = batch.positions
                none = batch.x.new_zeros(len(at), 0)
                clean = Reference(batch.x, material.logits[at], material.labels[at], none)
                yield seen / total, _Step(clean, next_probes(len(at)), next_anchors(len(at)))
                seen += len(at)
                if seen >= total:
                    return


def _endless(
    pool: Reference, total: int, batch_size: int, generator: torch.Generator
) -> Callable[[int], Reference]:
    """Takes from the pool, reshuffled whenever it is used up, in step with the forget rows.

    Beside a forget set much larger than the pool, a quarter of a batch is taken at least.
    """
    size = len(pool.inputs)
    order = torch.empty(0, dtype=torch.long)

    def take(rows: int) -> Reference:
        nonlocal order
        count = min(size, max(math.ceil(rows * size / total), batch_size // 4))
        if len(order) < count:
            order = torch.cat((order, torch.randperm(size, generator=generator)))
        chosen, order = order[:count], order[count:]
        return Reference(*(tensor[chosen] for tensor in pool))

    return take


def _to(step: _Step, device: torch.device) -> _Step:
    parts = (step.rows, step.probes, step.anchors)
    return _Step(*(Reference(*(t.to(device) for t in part)) for part in parts))
