"""The edit: push the forget classes away and pull the rest into place, until it is forgotten.

Every step takes some forget rows, some of their probes and some anchors, so that an epoch passes
the forget set, the bank of probes and the anchors once each. The rate stays constant until the
forget classes are gone; then follows the repair, with the same loss and a rate that falls to zero.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.errors import MethodError
from lethe.unlearning.losses import forget_mass
from lethe.unlearning.method import Progress


@dataclass(frozen=True)
class Material:
    """What the edit learns from, on the CPU, beside the forget rows themselves.

    `labels` (n,) and `teacher` (n, K) belong to the forget rows by position; a reference is a pair
    of inputs (m, ...) and the original's logits (m, K).
    """

    labels: Tensor
    teacher: Tensor
    probes: tuple[Tensor, Tensor]
    anchors: tuple[Tensor, Tensor]
    forgotten: Tensor


@dataclass(frozen=True)
class Objective:
    """Push on logits and instructions, pull on logits and the original's logits; (B,) each."""

    push: Callable[[Tensor, Tensor], Tensor]
    pull: Callable[[Tensor, Tensor], Tensor]
    push_on_probe: bool
    push_weight: float
    pull_weight: float


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    epochs: int
    repair_epochs: int
    learning_rate: float
    batch_size: int
    target: float


@dataclass(frozen=True)
class Outcome:
    """Curves with one value per epoch and a sentence on why the edit ended."""

    curves: Mapping[str, list[float]]
    stopped: str


def push_pull(
    student: nn.Module,
    rows: Rows,
    material: Material,
    objective: Objective,
    schedule: Schedule,
    *,
    device: torch.device,
    seed: int,
    progress: Progress,
    opt: str = "adam",
    hook=None,
) -> Outcome:
    """Edit `student` in place.

    Raises:
        MethodError: if the loss stops being finite.
    """
    weights = [p for p in student.parameters() if p.requires_grad]
    if opt == "adam":
        optimizer = torch.optim.Adam(weights, lr=schedule.learning_rate)
    else:
        optimizer = torch.optim.SGD(weights, lr=schedule.learning_rate, momentum=0.9)
    forgotten = material.forgotten.to(device)
    curves: dict[str, list[float]] = {k: [] for k in ("loss", "push", "pull", "forget_accuracy")}
    total = schedule.epochs + schedule.repair_epochs
    repair_left: int | None = None
    stopped = "not forgotten"
    for epoch in range(total):
        sums = {name: 0.0 for name in curves}
        count = 0
        steps, batches = _epoch(rows, material, schedule.batch_size, seed + epoch)
        for index, (x, y, teacher, px, pt, ax, at) in enumerate(batches):
            if repair_left is not None:
                done = 1 - (repair_left - index / steps) / schedule.repair_epochs
                for g in optimizer.param_groups:
                    g["lr"] = schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
            n, m = len(x), len(px)
            logits = student(torch.cat((x, px, ax)).to(device))
            zf, zp, za = logits[:n], logits[n : n + m], logits[n + m :]
            y, teacher, pt, at = (t.to(device) for t in (y, teacher, pt, at))
            push = objective.push(zf, y).mean()
            if objective.push_on_probe and m:
                push = objective.push(zp, y[:m]).mean()
            pulls = [objective.pull(zf, teacher)]
            if m:
                pulls.append(objective.pull(zp, pt))
            if len(za):
                pulls.append(objective.pull(za, at))
            pull = sum(p.mean() for p in pulls)
            loss = objective.push_weight * push + objective.pull_weight * pull
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums["loss"] += loss.item() * n
            sums["push"] += push.item() * n
            sums["pull"] += pull.item() * n
            sums["forget_accuracy"] += forgotten[zf.argmax(1)].sum().item()
            count += n
        for name, value in sums.items():
            curves[name].append(value / count)
        if not math.isfinite(sums["loss"]):
            raise MethodError("The edit diverged")
        progress(epoch + 1, total)
        if hook: hook(epoch, student)
        if repair_left is not None:
            repair_left -= 1
            if repair_left <= 0:
                stopped = "forgotten"
                break
        elif curves["forget_accuracy"][-1] <= schedule.target:
            repair_left = schedule.repair_epochs
            if not repair_left: break
    return Outcome(curves, stopped)


def _epoch(rows: Rows, material: Material, batch_size: int, seed: int):
    """Number of steps and the steps themselves."""
    n, m, a = len(rows), len(material.probes[0]), len(material.anchors[0])
    steps = max(math.ceil(n / batch_size), math.ceil(a / batch_size), 1)
    g = torch.Generator().manual_seed(seed)
    size = math.ceil(n / steps)
    po, ao = torch.randperm(m, generator=g), torch.randperm(a, generator=g)
    steps = math.ceil(n / size)
    pc = list(torch.tensor_split(po, steps)); ac = list(torch.tensor_split(ao, steps))
    def it():
        for k, b in enumerate(rows.batches(size, seed=seed)):
            p, q = pc[k], ac[k]
            yield (b.x, material.labels[b.positions], material.teacher[b.positions],
                   material.probes[0][p], material.probes[1][p], material.anchors[0][q], material.anchors[1][q])
    return steps, it()
