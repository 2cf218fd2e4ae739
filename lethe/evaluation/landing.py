"""Landing: which retained classes rows of the forgotten classes are taken for.

    sums = LandingSums()
    sums.add(successor_logits, gone, reference=reference_logits)      # batch by batch
    sums.result(classes, gone)

A network that never saw a class does not spread its rows evenly and does not send them all to one
neighbour: planes go to ships and birds, in shares of their own. An edit that aims at the uniform
distribution, or at the nearest label, is told apart from a retrained network by that alone
(Ebrahimpour-Boroojeny, Wang and Sundaram 2025, arXiv 2506.20893: the attack MIA-NN and the method
TRW, which tilts and reweights the target to be like the retrained network's).

Measured on held-out rows of the forgotten classes, with the forgotten classes left out of every
network's output and the rest renormalised: where a row goes if it has to go to a retained class.

- **Total variation** between the two mean distributions P and Q: 1/2 sum |P - Q|, the largest
  difference in probability that any set of classes shows. In [0, 1], 0 if and only if P = Q.
- **Jensen-Shannon distance**: the square root of the Jensen-Shannon divergence in bits (Endres and
  Schindelin 2003, IEEE Trans. Inf. Theory 49). In [0, 1] too, and a metric; it weighs classes that
  one network rules out more heavily.
- **Row variation**: the mean over rows of the total variation between both networks' distributions
  for that row. Never below the total variation of the means, which cannot see a successor that
  gives every single row the average answer.

None of them has a sign; 0 is the target. Two networks retrained with different seeds are not at 0
either: their distance is what a successor can be expected to reach. MIA-NN itself is a classifier
over several retrained references; with one reference these distances stand in for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from lethe.evaluation.base import Result, Share
from lethe.evaluation.retained import retained_probabilities

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

LARGEST = 3


class Flow(Result):
    """One retained class that rows go to: share of rows answered so, and its mean probability."""

    label: str
    share: Share
    probability: Share


class Distribution(Result):
    """Where one network sends the rows, over `Landing.classes` in their order.

    `shares` counts the most probable retained class of each row, `probabilities` is the mean
    distribution; `largest` names up to three classes of the highest mean probability.
    """

    shares: tuple[Share, ...]
    probabilities: tuple[Share, ...]
    largest: tuple[Flow, ...]


class Gap(Result):
    """How far apart two networks send the same rows; see the module for definitions.

    `answers` is the total variation between shares of answers; all others are of probabilities.
    """

    total_variation: Share
    jensen_shannon: Share
    row_variation: Share
    answers: Share


class Landing(Result):
    """Where successor and reference send forgotten rows, and how far apart that is.

    `classes` are the retained ones; `reference` and `gap` are None without a reference. `broken`
    counts rows for which the softmax of either network is not finite; they are in no figure.
    """

    count: int = Field(ge=1)
    classes: tuple[str, ...]
    successor: Distribution
    reference: Distribution | None = None
    gap: Gap | None = None
    broken: int = Field(default=0, ge=0)


@dataclass
class _Side:
    """One network's answers, counted, and the sum of its probabilities; each (K,) once begun."""

    answers: "Tensor | int" = 0
    probabilities: "Tensor | int" = 0

    def add(self, found: "Tensor") -> None:
        """Count a batch of (B, K) probabilities."""
        self.answers = found.argmax(1).bincount(minlength=found.shape[1]) + self.answers
        self.probabilities = found.sum(0) + self.probabilities


@dataclass
class LandingSums:
    """Sums over rows: two vectors of length K for each network, however many rows there are."""

    count: int = 0
    broken: int = 0
    row_variation: float = 0.0
    sides: list[_Side] = field(default_factory=list)

    def add(
        self, successor: "Tensor", gone: "Tensor", *, reference: "Tensor | None" = None
    ) -> None:
        """Count a batch of (B, K) logits of rows of the forgotten classes, (K,) mask of those.

        Nothing is counted unless some classes, and not all, are forgotten: single rows have no
        class to leave.

        Raises:
            ValueError: if a reference comes with some batches only.
        """
        import torch

        if not gone.any() or bool(gone.all()):
            return
        networks = [successor] if reference is None else [successor, reference]
        self.sides = self.sides or [_Side() for _ in networks]
        if len(networks) != len(self.sides):
            raise ValueError("The reference came with some batches only; nothing was counted.")
        found = [retained_probabilities(logits, gone) for logits in networks]
        usable = torch.stack([side.isfinite().all(1) for side in found]).all(0)
        found = [side[usable] for side in found]
        for side, probabilities in zip(self.sides, found, strict=True):
            side.add(probabilities)
        self.count += int(usable.sum())
        self.broken += int((~usable).sum())
        self.row_variation += float((found[0] - found[-1]).abs().sum()) / 2

    def result(self, classes: Sequence[str], gone: "Tensor") -> Landing | None:
        """The figures of all rows so far, with the K classes' names; None without any row."""
        if not self.count:
            return None
        retained = (~gone).nonzero().flatten().tolist()
        names = [classes[index] for index in retained]
        successor, *others = (
            _distribution(side, retained, names, self.count) for side in self.sides
        )
        reference = others[0] if others else None
        apart = self.row_variation / self.count
        return Landing(
            count=self.count,
            classes=tuple(names),
            successor=successor,
            reference=reference,
            gap=None if reference is None else _gap(successor, reference, apart),
            broken=self.broken,
        )


def _distribution(side: _Side, retained: list[int], names: list[str], count: int) -> Distribution:
    import torch

    shares, probabilities = (
        # Means of probabilities may exceed 1 by rounding.
        (torch.as_tensor(sums)[retained].double() / count).clamp(max=1)
        for sums in (side.answers, side.probabilities)
    )
    order = probabilities.argsort(descending=True, stable=True)[:LARGEST].tolist()
    return Distribution(
        shares=tuple(shares.tolist()),
        probabilities=tuple(probabilities.tolist()),
        largest=tuple(
            Flow(label=names[i], share=float(shares[i]), probability=float(probabilities[i]))
            for i in order
        ),
    )


def _gap(successor: Distribution, reference: Distribution, row_variation: float) -> Gap:
    p, q = successor.probabilities, reference.probabilities
    return Gap(
        total_variation=total_variation(p, q),
        jensen_shannon=jensen_shannon(p, q),
        row_variation=min(row_variation, 1.0),
        answers=total_variation(successor.shares, reference.shares),
    )


def total_variation(p: "ArrayLike", q: "ArrayLike") -> float:
    """Total variation distance of two distributions (K,), in [0, 1]."""
    import numpy as np

    return min(float(np.abs(np.subtract(p, q)).sum()) / 2, 1.0)


def jensen_shannon(p: "ArrayLike", q: "ArrayLike") -> float:
    """Jensen-Shannon distance of two distributions (K,), base 2, in [0, 1]."""
    import numpy as np
    from scipy.spatial.distance import jensenshannon

    # Between almost equal distributions the divergence may round below zero, and its root is NaN.
    with np.errstate(invalid="ignore"):
        found = float(np.nan_to_num(jensenshannon(p, q, base=2)))
    return min(found, 1.0)
