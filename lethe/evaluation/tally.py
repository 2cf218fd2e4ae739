"""Counting what networks answer, batch by batch, so that no outputs have to be kept.

What stays per row is its label and each network's answer, two integers; everything else is a sum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from scipy.special import rel_entr
from torch import Tensor

from lethe.evaluation.calibration import CalibrationSums
from lethe.evaluation.landing import LandingSums
from lethe.evaluation.membership import loss_scores
from lethe.evaluation.results import FORGET_PARTS, Accuracy, Drift, Part

BROKEN = -1


@dataclass
class Answers:
    """What one network answered on one part.

    `answers` are the most probable classes, -1 where the softmax is not finite (a logit of minus
    infinity alone is no harm). `p` and `entropy` are sums over rows; see `results.Confidence`.
    """

    answers: list[Tensor] = field(default_factory=list)
    p: float = 0.0
    entropy: float = 0.0
    broken: int = 0
    losses: list[Tensor] = field(default_factory=list)
    calibration: CalibrationSums = field(default_factory=CalibrationSums)

    def add(self, logits: Tensor, labels: Tensor, gone: Tensor) -> None:
        """Count a batch: (B, K) float64 logits, (B,) labels, (K,) mask of forgotten classes."""
        probabilities = logits.softmax(1)
        broken = ~probabilities.isfinite().all(1)
        own = probabilities[:, gone] if gone.any() else probabilities.gather(1, labels[:, None])
        self.answers.append(logits.argmax(1).masked_fill(broken, BROKEN))
        self.p += float(own.sum())
        self.entropy += float(torch.special.entr(probabilities).sum())
        self.broken += int(broken.sum())

    @property
    def scores(self) -> Tensor:
        """Membership scores of all rows so far, (N,): minus the loss on the own label."""
        return torch.cat(self.losses) if self.losses else torch.zeros(0, dtype=torch.float64)

    @property
    def predicted(self) -> Tensor:
        """Answers of all rows so far, (N,)."""
        return torch.cat(self.answers) if self.answers else torch.zeros(0, dtype=torch.int64)


@dataclass
class DriftSums:
    """Sums of agreement and divergence of parent and successor; see `results.Drift`."""

    count: int = 0
    same: int = 0
    kl: float = 0.0
    reference: int | None = None

    def add(
        self, parent: Tensor, successor: Tensor, gone: Tensor, reference: Tensor | None = None
    ) -> None:
        """Count a batch of all networks' (B, K) float64 logits."""
        sides = [logits[:, ~gone].softmax(1) for logits in (parent, successor)]
        whole = [logits.softmax(1) for logits in (parent, successor)]
        usable = torch.stack([side.isfinite().all(1) for side in (*sides, *whole)]).all(0)
        p, q = sides
        self.count += len(p)
        self.same += int(((p.argmax(1) == q.argmax(1)) & usable).sum())
        self.kl += float(rel_entr(p.numpy(), q.numpy()).sum())
        if reference is not None:
            same = reference[:, ~gone].argmax(1) == p.argmax(1)
            self.reference = (self.reference or 0) + int(same.sum())

    def result(self) -> Drift | None:
        """The means; None when no row was counted."""
        if not self.count:
            return None
        return Drift(
            count=self.count,
            agreement=self.same / self.count,
            kl=mean(self.kl, self.count),
            reference_agreement=None if self.reference is None else self.reference / self.count,
        )


@dataclass
class PartTally:
    """Labels of one part and the answers of every network to it.

    `part` decides what else is counted: drift and calibration on retained held-out rows, losses on
    forget rows, where rows land on forget held-out rows. Rows of a label that the networks do not
    know are only counted.
    """

    part: Part
    sides: list[Answers]
    drift: DriftSums = field(default_factory=DriftSums)
    landing: LandingSums = field(default_factory=LandingSums)
    batches: list[Tensor] = field(default_factory=list)
    unknown: int = 0

    def add(self, outputs: Sequence[Tensor], labels: Tensor, gone: Tensor) -> None:
        """Count a batch: every network's (B, K) logits, (B,) labels, (K,) forgotten classes."""
        known = labels >= 0
        self.unknown += int((~known).sum())
        labels = labels[known]
        logits = [output[known].double() for output in outputs]
        self.batches.append(labels)
        for side, output in zip(self.sides, logits, strict=True):
            side.add(output, labels, gone)
            if self.part in FORGET_PARTS:
                side.losses.append(loss_scores(output, labels))
        if self.part is Part.RETAINED_HELD_OUT and not bool(gone.all()):
            self.drift.add(logits[0], logits[1], gone, logits[2] if len(logits) > 2 else None)
            for side, output in zip(self.sides, logits, strict=True):
                side.calibration.add(output, labels, gone)
        if self.part is Part.FORGET_HELD_OUT:
            self.landing.add(logits[1], gone, reference=logits[2] if len(logits) > 2 else None)

    @property
    def labels(self) -> Tensor:
        """Known labels of all rows so far, (N,)."""
        return torch.cat(self.batches) if self.batches else torch.zeros(0, dtype=torch.int64)

    def accuracy(self, side: int) -> Accuracy | None:
        """Accuracy of one network."""
        right = self.sides[side].predicted == self.labels
        return Accuracy.of(int(right.sum()), len(right))


def mean(total: float, count: int) -> float | None:
    """A mean, or None when it is not finite."""
    return total / count if math.isfinite(total) else None
