"""What a trial of a search is judged by: forget rows and the model alone, no retained row.

    judge = new_judge(model, forget, context, target=None)
    judge.edited                      # the forget rows that trials edit on
    judge.score(student)              # forgotten, drift, score

Forgetting, a share from 0 to 1:

- whole classes: the share of judged forget rows that are given to none of the forget classes. The
  judged rows are a part of the forget set that no trial edits on, where it is large enough;
- people and rows, with a training card: 1 - 2 |A - 1/2|, where A is the area under the curve of
  the rows' losses against the card's losses of rows never seen. 1 means that they do not stand out;
- people and rows, without one: the share of the rows that are not given their own label.

Drift, in nats, at temperature 1:

    D = mean over anchors a of KL( q~(a) || p~(a) )

where q and p are the softmax outputs of the original and of the student, and a tilde means
renormalised over the classes that stay. Anchors are made as PTE makes its own
(`lethe.unlearning.probes.anchors`), but from judged rows and by another seed.

The score, less is better, ranks what forgot by its drift and puts everything else behind it:

    score = D / (1 + D)                                if forgotten >= target    (0 to 1)
    score = 1 + (target - forgotten) / target          otherwise                 (1 to 2)
"""

import copy
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lethe.data.rows import Rows, SomeRows
from lethe.errors import LetheError
from lethe.unlearning import losses, probes
from lethe.unlearning.classes import barred, barred_outputs
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.stored_card import unseen_reference
from lethe.unlearning.unseen import share_above

HELD_SHARE = 0.2
LEAST_HELD = 20  # with fewer, a single row would decide
MOST_JUDGED = 2000
CLASS_TARGET = 0.99  # the gate's default: at most 1 % left
ROWS_TARGET = 0.1  # as RowEdit: 90 % may stay recognised
UNSEEN_TARGET = 0.96  # as calibrated: an area within 0.02 of 0.5
ANCHORS_PER_CLASS, MOST_ANCHORS, ANCHOR_STARTS = 30, 3000, 128
ANCHOR_RADIUS, ANCHOR_STEPS = 1.0, 3
ANCHOR_SEED = 1_000_003  # away from the seeds that methods draw their own anchors by
FAILED = 2.0
BATCH = 256


class Scored(NamedTuple):
    """Share forgotten, drift in nats, and the score from 0 to 2, less is better."""

    forgotten: float
    drift: float
    score: float


@dataclass(frozen=True)
class Judge:
    """What students are compared with.

    Attributes:
        edited: what trials edit on.
        judged: forget rows that forgetting is judged on.
        outputs: mask (K,) of the forget classes, on the device; all False for people and rows.
        anchors: inputs (a, ...), on the CPU.
        teacher: the original's logits on them (a, K), on the CPU.
        quantiles: of the loss of rows never seen (K, Q), where a card is there and rows are asked.
        target: share from which on the rows count as forgotten.
    """

    edited: ForgetTarget
    judged: Rows
    outputs: Tensor
    anchors: Tensor
    teacher: Tensor
    quantiles: Tensor | None
    target: float

    @torch.no_grad()
    def score(self, student: nn.Module) -> Scored:
        """Judge a student, which is left on the device of `outputs` and in eval mode."""
        student = student.to(self.outputs.device).eval()
        forgotten, drift = self._forgotten(student), self._drift(student)
        if not (math.isfinite(forgotten) and math.isfinite(drift)):
            return Scored(0.0, math.inf, FAILED)
        return Scored(forgotten, drift, score_of(forgotten, drift, self.target))

    def _forgotten(self, student: nn.Module) -> float:
        total, count = 0.0, 0
        for batch in self.judged.batches(BATCH):
            logits, y = student(batch.x.to(self.outputs.device)).float().cpu(), batch.y
            if not logits.isfinite().all():
                return math.nan
            if self.quantiles is not None:
                found = share_above(F.cross_entropy(logits, y, reduction="none"), self.quantiles[y])
            else:
                known = barred(self.outputs.cpu(), y)
                found = (~known.gather(1, logits.argmax(1, keepdim=True))[:, 0]).double()
            total, count = total + float(found.sum()), count + len(y)
        mean = total / count
        return mean if self.quantiles is None else 1 - 2 * abs(mean - 0.5)

    def _drift(self, student: nn.Module) -> float:
        total, forgotten = 0.0, self.outputs.cpu()
        for x, teacher in zip(
            *(torch.split(t, BATCH) for t in (self.anchors, self.teacher)), strict=True
        ):
            logits = student(x.to(self.outputs.device)).float().cpu()
            total += float(losses.pull_masked(logits, teacher, forgotten, 1.0).sum())
        return max(0.0, total / len(self.anchors))  # rounding may take it below


def score_of(forgotten: float, drift: float, target: float) -> float:
    """The score, 0 to 2, of a share forgotten and a drift in nats."""
    if forgotten >= target:
        return drift / (1 + drift)
    return 1 + (target - forgotten) / target


def new_judge(
    model: nn.Module, forget: ForgetTarget, context: Context, *, target: float | None = None
) -> Judge:
    """Hold a part of the forget rows back and make anchors from it.

    Args:
        model: the original, left as it is.
        forget: what is to be forgotten.
        context: device, seed and the training card, if there is one.
        target: share from which on rows count as forgotten; default: by what is asked.

    Raises:
        MethodError: if the request does not fit the model, the rows' values do not spread, or the
            model is not differentiable.
    """
    original = copy.deepcopy(model).to(context.device).eval().requires_grad_(False)
    outputs = barred_outputs(original, forget, context.device)
    generator = torch.Generator().manual_seed(context.seed + ANCHOR_SEED)
    held = _held_back(forget, generator)
    judged: Rows = forget.rows if held is None else SomeRows(forget.rows, held)
    edited = forget if held is None else replace(forget, rows=SomeRows(forget.rows, ~held))
    if len(judged) > MOST_JUDGED:
        judged = SomeRows(judged, _some(len(judged), MOST_JUDGED, generator))
    scale = probes.data_scale(judged, BATCH)
    probes.check_scale(scale)
    starts = _some(len(judged), min(len(judged), ANCHOR_STARTS), generator)
    anchors, teacher, _ = probes.anchors(
        original,
        torch.cat([batch.x for batch in SomeRows(judged, starts).batches(BATCH)]),
        outputs,
        per_class=max(1, min(ANCHORS_PER_CLASS, MOST_ANCHORS // len(outputs))),
        radius=ANCHOR_RADIUS * scale,
        steps=ANCHOR_STEPS,
        batch_size=BATCH,
        generator=generator,
    )
    quantiles = _quantiles(forget, context, len(outputs))
    usual = CLASS_TARGET if forget.kind == "class" else ROWS_TARGET
    usual = usual if quantiles is None else UNSEEN_TARGET
    return Judge(
        edited, judged, outputs, anchors, teacher, quantiles, usual if target is None else target
    )


def _held_back(forget: ForgetTarget, generator: torch.Generator) -> Tensor | None:
    """Mask of a class request's rows that no trial edits on; None where they would be too few.

    A request by rows is about those very rows: others say nothing of them.
    """
    count = int(HELD_SHARE * len(forget.rows))
    if forget.kind != "class" or count < LEAST_HELD:
        return None
    return _some(len(forget.rows), count, generator)


def _some(length: int, count: int, generator: torch.Generator) -> Tensor:
    """A mask (length,) of `count` random positions."""
    mask = torch.zeros(length, dtype=torch.bool)
    mask[torch.randperm(length, generator=generator)[:count]] = True
    return mask


def _quantiles(forget: ForgetTarget, context: Context, outputs: int) -> Tensor | None:
    """The card's losses of rows never seen, for a request by rows; None where it has none."""
    if forget.kind == "class" or context.card is None or len(context.card.classes) != outputs:
        return None
    try:
        return unseen_reference(context.card, forget).quantiles
    except LetheError:
        return None
