"""The relearn curve: how fast a class comes back when the whole network is trained again.

    curve = relearn(successor, forget, forget_held_out, retained=retained, device=device)

A network that only hides a class has it back within a few updates; one that never knew it needs as
many as any new class. So the curve is to be held against that of a retrained or fresh network;
`relearn_curve` reads it.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lethe.data.rows import Rows, TensorRows
from lethe.errors import ModelError
from lethe.evaluation.feature_level.layers import head_of
from lethe.evaluation.feature_level.results import RelearnCurve, Stop
from lethe.evaluation.feature_level.sampling import (
    balanced,
    choose,
    gather,
    known_classes,
    labels_of,
)
from lethe.evaluation.feature_level.settings import RelearnSettings

MEASURED_TOGETHER = 256

Progress = Callable[[int, int], None]


def relearn(
    model: nn.Module,
    forget: Rows,
    forget_held_out: Rows,
    *,
    device: torch.device,
    retained: Rows | None = None,
    retained_held_out: Rows | None = None,
    settings: RelearnSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RelearnCurve | None:
    """Held-out accuracy while a copy of the network learns few labelled rows.

    Adam on all weights and cross-entropy. The copy stays in eval mode, so that BatchNorm keeps its
    statistics and nothing is dropped. The rows, equally many per class, and their order depend on
    labels and seed alone, so that every model learns the same. For requests of whole classes.

    With retained rows the copy learns all classes. Without, it learns the forgotten rows alone and
    the curve is marked `forget_only`. That is weak evidence: any network can learn within a few
    updates to answer one class always, whether or not it tells the class apart. Retained held-out
    rows, if given, show this in `claimed`; without them only a gap to a fresh network under the
    same settings says something.

    A last layer that was made to refuse a class (a large negative bias) would hide whatever the
    layers below hold: the network relearns more slowly than a retrained one, or not at all. So
    every copy starts from a last layer of zeros (`settings.fresh_head`), as in a linear probe, and
    a head-only edit gives the curve of the original. Then forget accuracy may jump to 1 for a
    step, while the copy answers one class only; read the curve corrected (`relearn_curve`). The
    literature's relearn time keeps the head. So does `forget_only`, where a fresh head could learn
    nothing but the one answer. With a mask behind the last layer the loss is not finite, which
    ends the curve.

    Cost: an update is about three passes of `batch_size` rows and a measurement one pass of up to
    2 * `held_out_rows`; by default 60 * (3 * 32 + 256), as much as predicting some 21,000 rows.
    Each given set is read twice, and a few hundred rows are kept in memory. On an accelerator the
    last digits may differ between runs.

    Args:
        model: inputs (B, *shape) to logits (B, K); stays as it is.
        forget: labelled rows of the forgotten classes.
        forget_held_out: rows of these classes that neither training nor relearning sees.
        device: where to compute.
        retained: labelled rows of the other classes.
        retained_held_out: rows of these classes to measure on.
        settings: default: `RelearnSettings()`.
        seed: of the choice of rows and their order; the global random state is left alone.
        progress: hears (updates done, updates at most).

    Returns:
        None if no row of a known label is there to learn from or to measure on.

    Raises:
        ModelError: if a fresh head is asked for and the network has no linear layer.
    """
    settings = settings or RelearnSettings()
    lessons, classes, both = _lessons(forget, retained, settings.rows, seed)
    forgotten = _known(forget_held_out, settings.held_out_rows, seed)
    if not len(lessons) or not len(forgotten):
        return None
    others = (
        None
        if retained_held_out is None
        else _known(retained_held_out, settings.held_out_rows, seed)
    )
    exam = _Exam(
        forgotten=_on(device, forgotten),
        retained=_on(device, others) if others else None,
        classes=classes.to(device),
    )
    lessons, fresh = _on(device, lessons), both and settings.fresh_head
    marks: dict[int, _Mark] = {}
    stopped: Stop = "steps"
    with torch.random.fork_rng(devices=_accelerators(device)), torch.enable_grad():
        torch.manual_seed(seed)
        learner = _learner(model, device)
        if fresh:
            _reset_head(learner, lessons.x[:2])
        optimizer = torch.optim.Adam(learner.parameters(), lr=settings.learning_rate)
        marks[0] = exam.mark(learner)
        order = _endless(lessons, settings.batch_size, seed)
        for step in range(1, settings.steps + 1):
            x, y = next(order)
            loss = F.cross_entropy(learner(x), y)
            if not loss.isfinite():
                stopped = "not_finite"
                break
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            if progress is not None:
                progress(step, settings.steps)
            if step % settings.every and step != settings.steps:
                continue
            marks[step] = exam.mark(learner)
            lately = list(marks.values())[-settings.hold :]
            held = [mark.forget - mark.claimed >= settings.recovered for mark in lately]
            if len(held) == settings.hold and all(held):
                stopped = "recovered"
                break
    return RelearnCurve(
        steps=tuple(marks),
        forget=tuple(mark.forget for mark in marks.values()),
        retained=tuple(mark.retained for mark in marks.values()) if exam.retained else None,
        claimed=tuple(mark.claimed for mark in marks.values()) if exam.retained else None,
        forget_count=len(exam.forgotten),
        retained_count=len(exam.retained or ()),
        rows=len(lessons),
        planned=settings.steps,
        forget_only=not both,
        fresh_head=fresh,
        stopped=stopped,
    )


@dataclass(frozen=True)
class _Mark:
    forget: float
    retained: float = 0.0
    claimed: float = 0.0


@dataclass(frozen=True)
class _Exam:
    """Held-out rows on the device, and the forgotten classes (F,)."""

    forgotten: TensorRows
    retained: TensorRows | None
    classes: Tensor

    def mark(self, model: nn.Module) -> _Mark:
        """Forget accuracy; retained accuracy and rows claimed, both 0 without such rows."""
        forget = _share(_answers(model, self.forgotten) == self.forgotten.y)
        if self.retained is None:
            return _Mark(forget)
        answers = _answers(model, self.retained)
        claimed = torch.isin(answers, self.classes)
        return _Mark(forget, _share(answers == self.retained.y), _share(claimed))


def _share(right: Tensor) -> float:
    return int(right.sum()) / len(right)


def _answers(model: nn.Module, rows: TensorRows) -> Tensor:
    """Most probable class of each row, (N,); -1 where none is, or an output is not a number."""
    found = []
    with torch.no_grad():
        for batch in rows.batches(MEASURED_TOGETHER):
            logits = model(batch.x)
            none = logits.isnan().any(1) | (logits == logits[:, :1]).all(1)
            found.append(logits.argmax(1).masked_fill(none, -1))
    return torch.cat(found)


def _lessons(
    forget: Rows, retained: Rows | None, count: int, seed: int
) -> tuple[TensorRows, Tensor, bool]:
    """About `count` rows, equally many per class; the forgotten classes; are retained rows there.

    No rows at all where there is none of the forgotten classes.
    """
    sets = [forget] if retained is None else [forget, retained]
    labels = [labels_of(rows) for rows in sets]
    per_class = max(1, count // max(1, len(known_classes(torch.cat(labels)))))
    chosen = [balanced(own, per_class, seed=seed) for own in labels]
    used = [place for place, own in enumerate(chosen) if len(own)] if len(chosen[0]) else [0]
    found = [gather(sets[place], chosen[place]) for place in used]
    rows = TensorRows(torch.cat([own.x for own in found]), torch.cat([own.y for own in found]))
    return rows, known_classes(labels[0]), len(used) > 1


def _known(rows: Rows, limit: int, seed: int) -> TensorRows:
    known = (labels_of(rows) >= 0).nonzero().flatten()
    return gather(rows, known[choose(len(known), limit, seed=seed)])


def _on(device: torch.device, rows: TensorRows) -> TensorRows:
    return TensorRows(rows.x.to(device), rows.y.to(device))


def _learner(model: nn.Module, device: torch.device) -> nn.Module:
    """A copy that may be changed in every weight, in eval mode."""
    learner = copy.deepcopy(model).to(device).eval()
    for module in learner.modules():
        if isinstance(module, nn.RNNBase):  # cuDNN has no backward pass in eval mode
            module.dropout = 0.0
            module.train()
    for weight in learner.parameters():
        weight.requires_grad_(weight.is_floating_point())
    return learner


def _reset_head(learner: nn.Module, sample: Tensor) -> None:
    """Put a linear layer of zeros in the head's place."""
    name = head_of(learner, sample)
    old = learner.get_submodule(name) if name else None
    if name is None or not isinstance(old, nn.Linear):
        raise ModelError(
            "The network has no linear layer to start afresh. Nothing was changed. Set "
            "`fresh_head` to false."
        )
    head = nn.Linear(old.in_features, old.out_features, device=sample.device)
    for weight in head.parameters():
        nn.init.zeros_(weight)
    learner.set_submodule(name, head)


def _endless(rows: TensorRows, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of shuffled rows, epoch after epoch."""
    orders = torch.Generator().manual_seed(seed)
    while True:
        order = int(torch.randint(2**31 - 1, (), generator=orders))
        for batch in rows.batches(size, seed=order):
            yield batch.x, batch.y


def _accelerators(device: torch.device) -> Sequence[int]:
    """Indices of the CUDA devices whose random state is used."""
    return [device.index or 0] if device.type == "cuda" else []
