"""The edit: push the forget classes away and pull the rest into place until they are forgotten.

Every step takes some forget rows, some of their probes and some anchors, so that an epoch passes
each of them about once. The learning rate stays constant until no forget row is recognised any
more; then follows the repair, with the same loss and a rate that falls to zero.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.errors import MethodError
from lethe.unlearning.method import Progress


class Reference(NamedTuple):
    """Inputs (m, ...), the original's logits (m, K) and a label (m,) for each."""

    inputs: Tensor
    logits: Tensor
    labels: Tensor


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

    A term that is None is left out.
    """

    push: Callable[[Tensor, Tensor], Tensor] | None
    pull: Callable[[Tensor, Tensor], Tensor] | None
    push_weight: float
    pull_weight: float
    push_on_probes: bool


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


class _Step(NamedTuple):
    """What one step learns from; `at` is the share of the epoch that lies before it."""

    at: float
    rows: Reference
    probes: Reference
    anchors: Reference


# A rate that suits most networks is far too small for some. After this many steps without success
# it grows with every step, up to this factor.
PATIENCE = 40
LARGEST_GROWTH = 30.0

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
    curves: dict[str, list[float]] = {name: [] for name in CURVES}
    total = schedule.epochs + schedule.repair_epochs
    forgotten_at: int | None = None
    generator = torch.Generator().manual_seed(seed)
    steps = 0
    for epoch in range(total):
        sums = torch.zeros(len(CURVES) + 1, device=device)
        for step in _steps(material, schedule.batch_size, generator):
            if forgotten_at is None:
                factor = schedule.growth ** max(0, steps - PATIENCE)
                rate = schedule.learning_rate * min(factor, LARGEST_GROWTH)
            else:
                done = (epoch - forgotten_at + step.at) / schedule.repair_epochs
                rate = schedule.learning_rate * (1 + math.cos(math.pi * done)) / 2
            for group in optimizer.param_groups:
                group["lr"] = rate
            steps += 1
            sums += _update(student, optimizer, _to(step, device), objective, forgotten)
        *means, _ = (sums / sums[-1]).tolist()
        if not all(map(math.isfinite, means)) or not all(w.isfinite().all() for w in weights):
            raise MethodError(
                f"The edit diverged in epoch {epoch + 1}: a loss or a weight is not finite. The "
                f"model was left as it was. Lower `learning_rate` in the method's options."
            )
        for name, mean in zip(CURVES, means, strict=True):
            curves[name].append(mean)
        if forgotten_at is None and means[-1] <= schedule.target:
            forgotten_at = epoch + 1
        last = schedule.epochs if forgotten_at is None else forgotten_at + schedule.repair_epochs
        progress(epoch + 1, last)
        if epoch + 1 == last:
            break
    share = curves["forget_accuracy"][-1]
    if forgotten_at is None or share > schedule.target:
        return Outcome(curves, f"Not forgotten: {share:.1%} recognised after {epoch + 1} epochs.")
    return Outcome(
        curves, f"Forgotten after {forgotten_at} epochs, {epoch + 1 - forgotten_at} of repair."
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
    logits = student(torch.cat([part.inputs for part in parts]))
    clean, probes, anchors = logits.split([len(part.inputs) for part in parts])
    zero = logits.new_zeros(())
    push = pull = zero
    if objective.push is not None:
        pushed = (probes, step.probes) if objective.push_on_probes else (clean, step.rows)
        push = objective.push(pushed[0], pushed[1].labels).mean()
    if objective.pull is not None:
        for student_logits, part in zip((clean, probes, anchors), parts, strict=True):
            if len(student_logits):
                pull = pull + objective.pull(student_logits, part.logits).mean()
    loss = objective.push_weight * push + objective.pull_weight * pull
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    count = len(clean)
    recognised = forgotten[clean.argmax(1)].float().mean()
    values = torch.stack((loss, push, pull, recognised, torch.ones_like(zero)))
    return values.detach() * count


def _steps(material: Material, batch_size: int, generator: torch.Generator) -> Iterator[_Step]:
    """Steps of one epoch. Forget rows fewer than the anchors are passed several times."""
    rows, probes, anchors = material.rows, material.probes, material.anchors
    passes = max(1, len(anchors.inputs) // len(rows))
    total = passes * len(rows)
    steps = math.ceil(max(total, len(anchors.inputs)) / batch_size)
    size = math.ceil(total / steps)
    next_probes = _endless(probes, total, batch_size, generator)
    next_anchors = _endless(anchors, total, batch_size, generator)
    seen = 0
    for _ in range(passes):
        seed = int(torch.randint(2**31 - 1, (), generator=generator))
        for batch in rows.batches(size, seed=seed):
            at = batch.positions
            clean = Reference(batch.x, material.logits[at], material.labels[at])
            yield _Step(seen / total, clean, next_probes(len(at)), next_anchors(len(at)))
            seen += len(at)


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
    return _Step(step.at, *(Reference(*(t.to(device) for t in part)) for part in parts))
