"""Calibration on retained rows: is the network as sure as it is right?

    sums = CalibrationSums()
    sums.add(logits, labels, gone)      # batch by batch, one for each network
    sums.result()

An edit may keep every answer and still make the network doubtful, or too sure, of the classes it
was to keep. Probabilities are restricted to the retained classes and renormalised, as for drift.

- **Expected calibration error**: rows in 15 bins of equal width by the probability of their answer;
  the mean over rows of |share of right answers - mean probability| of the row's bin. Guo et al.
  2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599, section 2). In [0, 1], 0 is
  best. It has no sign: `overconfidence` does, positive when the network is surer than it is right.
  Few rows make it too large, since chance counts as error in every bin: compare networks on the
  same rows, and not with zero.
- **Brier score**: mean over rows of the squared distance between the probabilities and the label's
  one-hot vector, summed over classes; Brier 1950, "Verification of forecasts expressed in terms of
  probability" (Monthly Weather Review 78). In [0, 2], 0 is best; some libraries halve it.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from lethe.evaluation.base import Result, Share
from lethe.evaluation.retained import retained_probabilities

if TYPE_CHECKING:
    from torch import Tensor

BINS = 15


class Calibration(Result):
    """Calibration of one network over the retained classes; see the module for definitions.

    `confidence` is the mean probability of the answer and `accuracy` the share of right ones, the
    answer being the most probable retained class. `left_out` counts rows whose label is no retained
    class and `broken` those for which the network's softmax is not finite; they are in no figure.
    """

    count: int = Field(ge=1)
    ece: Share
    brier: float = Field(ge=0, le=2)
    confidence: Share
    accuracy: Share
    left_out: int = Field(default=0, ge=0)
    broken: int = Field(default=0, ge=0)

    @property
    def overconfidence(self) -> float:
        """Mean probability of the answer minus the share of right answers, in [-1, 1]."""
        return self.confidence - self.accuracy


@dataclass
class CalibrationSums:
    """What is kept of each row: its answer's probability and whether it is right."""

    confidences: list["Tensor"] = field(default_factory=list)
    right: list["Tensor"] = field(default_factory=list)
    brier: float = 0.0
    left_out: int = 0
    broken: int = 0

    def add(self, logits: "Tensor", labels: "Tensor", gone: "Tensor") -> None:
        """Count a batch: (B, K) logits, (B,) labels, (K,) bool mask of forgotten classes."""
        known = (labels >= 0) & ~gone[labels.clamp(min=0)]
        self.left_out += int((~known).sum())
        found, labels = retained_probabilities(logits[known], gone), labels[known]
        usable = found.isfinite().all(1)
        self.broken += int((~usable).sum())
        found, labels = found[usable], labels[usable]
        confidence, answers = found.max(1)
        self.confidences.append(confidence)
        self.right.append(answers == labels)
        own = found.gather(1, labels[:, None])[:, 0]
        # |p - onehot|^2 = |p|^2 - 2 p_y + 1
        self.brier += float((found.square().sum(1) - 2 * own + 1).sum())

    def result(self) -> Calibration | None:
        """The figures of all rows so far; None when no row can be counted."""
        import torch
        from torchmetrics.functional.classification import binary_calibration_error

        count = sum(len(batch) for batch in self.right)
        if not count:
            return None
        confidence, right = torch.cat(self.confidences), torch.cat(self.right)
        # torchmetrics' bins are closed below, so that a probability of exactly one, common in
        # trained networks, would get a sixteenth bin to itself. Just below one it is in the last.
        below_one = 1 - torch.finfo(confidence.dtype).eps / 2
        # The multiclass error is the binary one of "the answer is right", which needs no (N, K).
        ece = binary_calibration_error(confidence.clamp(max=below_one), right.long(), n_bins=BINS)
        return Calibration(
            count=count,
            ece=min(float(ece), 1.0),
            brier=min(max(self.brier / count, 0.0), 2.0),
            confidence=min(float(confidence.mean()), 1.0),
            accuracy=int(right.sum()) / count,
            left_out=self.left_out,
            broken=self.broken,
        )
