"""Membership attack: does the network still tell training rows from rows it never saw?

    scores = [loss_scores(logits, labels) for logits, labels in (forget_train, forget_held_out)]
    found = attack(*scores, seed=0)
    distance(found, attack(*reference_scores, seed=0))

Members are the forgotten TRAINING rows, non-members the HELD-OUT rows of the same classes or the
same person. No retained data is needed, and both sides are of the same kind: an attack on retained
against held-out rows, as usually published, would see the missing class and not the membership.

**Sign.** A higher score says "member", and the score is minus the loss: a row that was trained on
has a low loss. An area (AUC) above 0.5 therefore means that training rows still stand out. Public
code is not of one mind: SalUn's "MIA" is the share of forget rows taken for NON-members (higher is
better), DELETE's, SSD's and Bad Teacher's is the share taken for MEMBERS (lower is better). None of
these can be compared with the area given here.

**Reading.** The target is the area of a network retrained without the rows; where there is none,
0.5. It is a target and not a minimum: an area below it is over-forgetting, and shows an attacker
the rows just as well, from the other side (the Streisand effect). A retrained network may be off
0.5 when the two sides differ by more than chance, such as recordings of another day; then only the
reference is a fair target.

**Score.** Minus the cross-entropy on the row's own label, log p, with one threshold for all rows:
Yeom et al. 2018, "Privacy Risk in Machine Learning" (arXiv 1709.01604). Carlini et al. 2022,
"Membership Inference Attacks From First Principles" (LiRA, arXiv 2112.03570) use the logit-scaled
confidence phi = log p - log(1 - p), which is nearer to a normal distribution. Both rise with p and
so put rows in the same order: for this attack they are the same, unless log p rounds to zero. Both
ignore a constant taken off one class's logit, so striking a class out of the head hides nothing,
short of minus infinity, which makes all rows equal.

**What it does not show.** This is an attack on the average row. A calibrated attack on single rows
(U-LiRA, Hayes et al. 2024, arXiv 2403.01218) is far stronger, and needs many shadow networks. That
is why the true-positive rate at a low false-positive rate stands beside the area.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from lethe.evaluation.base import Result, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

MIN_ROWS = 5
CHANCE = 0.5
# Rows drawn at once: 2**21 of them keep the bootstrap's memory below 100 MB.
_ROWS_AT_ONCE = 2**21


class Membership(Result):
    """How well scores tell members from non-members; see the module for signs and reading.

    `auc` is the probability that a member scores higher than a non-member, ties counting one half.
    `low` and `high` are the 95 % percentile bootstrap interval (Efron 1979), members and
    non-members resampled each among themselves. It takes rows for independent: several windows of
    one recording make it too narrow. It has no width where the scores separate without exception.

    `tpr_at_*` is the largest share of members found while at most that share of non-members is
    taken for one; None with fewer non-members (1,000 or 100) than such a share can be counted in.
    `advantage` is the best threshold's |TPR - FPR|, in whichever direction serves the attacker
    better; it is above zero by chance alone, the more so the fewer rows there are.

    `infinite` counts scores of plus or minus infinity, which keep their rank; `left_out` those that
    are no number, which are in no figure and in neither count.
    """

    members: int = Field(ge=MIN_ROWS)
    non_members: int = Field(ge=MIN_ROWS)
    auc: Share
    low: Share
    high: Share
    tpr_at_01_percent: Share | None
    tpr_at_1_percent: Share | None
    advantage: Share
    infinite: int = Field(default=0, ge=0)
    left_out: int = Field(default=0, ge=0)


def confidence_scores(logits: "Tensor", labels: "Tensor") -> "Tensor":
    """Logit-scaled confidence phi = log p_y - log(1 - p_y) of Carlini et al. 2022, (N,) float64.

    Taken as the label's logit minus the log-sum-exp of all others, which never subtracts from one.

    Args:
        logits: (N, K).
        labels: (N,) in 0..K-1.

    Returns:
        NaN for a row whose softmax is not finite; minus infinity where the label is ruled out, plus
        infinity where every other class is.
    """
    exact = logits.double()
    own = exact.gather(1, labels[:, None])
    others = exact.scatter(1, labels[:, None], -float("inf")).logsumexp(1)
    # A softmax is finite if and only if the largest logit is.
    return (own[:, 0] - others).masked_fill(~exact.amax(1).isfinite(), float("nan"))


def loss_scores(logits: "Tensor", labels: "Tensor") -> "Tensor":
    """Minus the cross-entropy on the own label, log p_y, (N,) float64; arguments as above.

    log p = log sigmoid(phi) keeps rows apart whose p differs from one by less than rounding.
    """
    from torch.nn import functional as F

    return F.logsigmoid(confidence_scores(logits, labels))


def attack(
    members: "ArrayLike | Tensor",
    non_members: "ArrayLike | Tensor",
    seed: int,
    resamples: int = 1000,
) -> Membership | None:
    """Tell members from non-members by a threshold on a score.

    Args:
        members: (N,) scores of rows that were trained on; higher means "member".
        non_members: (M,) scores of rows that were not.
        seed: of the bootstrap; the same seed and scores give the same interval.
        resamples: how many resampled areas the interval is taken from.

    Returns:
        The figures; None when either side has fewer than five scores that are numbers.

    Raises:
        ValueError: if scores are not one per row.
    """
    import numpy as np
    from sklearn.metrics import auc, roc_curve

    sides = [np.asarray(side, dtype=np.float64) for side in (members, non_members)]
    if any(side.ndim != 1 for side in sides):
        shapes = " and ".join(str(side.shape) for side in sides)
        raise ValueError(f"Scores have shapes {shapes}; expected is one score per row.")
    inside, outside = (side[~np.isnan(side)] for side in sides)
    if min(len(inside), len(outside)) < MIN_ROWS:
        return None
    # Ranks instead of scores: nothing depends on their scale, and infinite ones are as good as any.
    pooled = np.concatenate([inside, outside])
    _, ranks = np.unique(pooled, return_inverse=True)
    truth = np.arange(len(pooled)) < len(inside)
    fpr, tpr, _ = roc_curve(truth, ranks, drop_intermediate=False)
    area = min(float(auc(fpr, tpr)), 1.0)
    areas = _resampled(ranks[truth], ranks[~truth], np.random.default_rng(seed), resamples)
    low, high = np.percentile(areas, [2.5, 97.5])

    def at(level: float) -> float | None:
        return float(tpr[fpr <= level].max()) if len(outside) * level >= 1 else None

    return Membership(
        members=len(inside),
        non_members=len(outside),
        auc=area,
        # The area is the resampled ones' mean; with few resamples a percentile may pass it.
        low=min(float(low), area),
        high=max(float(high), area),
        tpr_at_01_percent=at(0.001),
        tpr_at_1_percent=at(0.01),
        advantage=float(np.abs(tpr - fpr).max()),
        infinite=int(np.isinf(pooled).sum()),
        left_out=sum(len(side) for side in sides) - len(pooled),
    )


def distance(successor: Membership, reference: Membership | None) -> float:
    """The successor's area minus its target: the reference's area, or 0.5 without a reference.

    Above zero, training rows still stand out; below, they were pushed too far. In [-1, 1].
    """
    return successor.auc - (CHANCE if reference is None else reference.auc)


def _resampled(
    members: "NDArray[np.intp]",
    non_members: "NDArray[np.intp]",
    generator: "np.random.Generator",
    resamples: int,
) -> "NDArray[np.float64]":
    """Areas of rows drawn with replacement, (resamples,), in O(resamples x (N + M)).

    For each non-member the number of members below it, and not above it, is a position in the
    sorted members. Both stay true when rows are drawn again, once the draws are counted up to them.
    """
    import numpy as np

    members = np.sort(members)
    ends = [np.searchsorted(members, non_members, side) for side in ("left", "right")]
    n, m = len(members), len(non_members)
    areas = np.empty(resamples)
    step = max(1, _ROWS_AT_ONCE // (n + m))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        # Every resample draws in its own stretch of n numbers, so that one count serves all.
        drawn = generator.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        up_to = np.zeros((size, n + 1), dtype=np.int64)
        times.cumsum(axis=1, out=up_to[:, 1:])
        chosen = generator.integers(m, size=(size, m))
        lost = sum(np.take_along_axis(up_to, end[chosen], axis=1).sum(axis=1) for end in ends)
        areas[start : start + size] = 1 - lost / (2 * n * m)
    return areas
