"""U-LiRA: one attacker for every example tells unlearned models from models that never saw it.

    found = u_lira(unlearned, retrained, seed=0)     # margins, (models, examples) each
    found.balanced_accuracy                          # 0.5: like retraining; 1: always told apart

For benchmarks only: it needs many shadow models that were trained with the examples and unlearned,
and as many that were trained without them.

Per-example U-MIA of Hayes et al. 2025, "Inexact Unlearning Needs More Careful Evaluations to Avoid
a False Sense of Privacy" (SaTML, arXiv 2403.01218), with the statistic of Carlini et al. 2022,
"Membership Inference Attacks From First Principles" (arXiv 2112.03570): for each example a Gaussian
over the logit-scaled confidences of unlearned models and one over those of models that never saw
it; the score is the log of the ratio of their densities at the target's confidence.

**Sign.** A positive score says "was trained on, then unlearned". As it is a ratio of densities,
examples that were pushed too far are found as well as those that still stand out. Figures below 0.5
are chance, not better forgetting.

**No leakage.** Models are left out in folds, the same number of folds on both sides, and every
model is a target once. In each fold both Gaussians lack the held-out models. Leaving out on the
target's own side only, as is simpler, would put a target nearer to the other side, which has one
model more, and give less than 0.5 where there is nothing to find. `auc` is the mean over folds
for the same reason: scores of different folds rest on each other's targets.

**Chance.** With few models an example is told apart by luck often enough. So the same figures are
computed with the models' sides shuffled: `p_value` is the share of shufflings that do as well.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from lethe.evaluation.results import Result, Share
from lethe.evaluation.shadow.margins import CLIP, clipped
from lethe.evaluation.shadow.quantiles import Quantiles

MIN_MODELS = 3
# Below this many, a variance per example is noisier than it is true, as Carlini et al. found.
FEW_MODELS = 64
# Margins of networks that agree to this many nats are the same up to float32 logits.
MIN_STD = 1e-4

Variance = Literal["per_example", "pooled"]
Array = NDArray[np.float64]


class ULira(Result):
    """How well a per-example attacker tells unlearned from retrained; see the module.

    `balanced_accuracy` decides by the sign of the score, `auc` and `tpr_at_*` by its order; a pair
    is one example under one model, and `tpr_at_*` is None with too few pairs of retrained models to
    count such a share in. `per_example` is the balanced accuracy of each example over the models;
    `per_example_by_chance` the same with the models' sides shuffled, None without shufflings.
    `target_share` is the share of examples for which the target is taken for unlearned.
    `clipped` counts margins outside of -100 to 100.
    """

    examples: int = Field(ge=1)
    unlearned_models: int = Field(ge=MIN_MODELS)
    retrained_models: int = Field(ge=MIN_MODELS)
    variance: Variance
    balanced_accuracy: Share
    p_value: Share | None
    auc: Share
    tpr_at_1_percent: Share | None
    tpr_at_01_percent: Share | None
    per_example: Quantiles
    per_example_by_chance: Quantiles | None
    target_share: Share | None = None
    clipped: int = Field(default=0, ge=0)


def u_lira(
    unlearned: ArrayLike,
    retrained: ArrayLike,
    *,
    seed: int,
    target: ArrayLike | None = None,
    variance: Variance | None = None,
    shufflings: int = 100,
) -> ULira:
    """Attack every shadow model with the others, and the target with all of them.

    Args:
        unlearned: (N, E) margins of models trained with the E examples and then unlearned.
        retrained: (M, E) margins of models that never saw them.
        seed: of the shufflings.
        target: (E,) margins of another model to attack, none of the above.
        variance: "per_example", or "pooled": the mean over examples of the variance around each
            example's own mean, one for each side. By default pooled with less than 64 models a
            side.
        shufflings: how often the models' sides are shuffled to see what chance does; 0 for never.

    Raises:
        ValueError: with fewer than three models on a side, margins that are no number, shapes that
            do not fit, or a target that is among the shadow models.
    """
    inside = clipped(unlearned, "margins of unlearned models", shape=(None, None))
    examples = inside.shape[1]
    outside = clipped(retrained, "margins of retrained models", shape=(None, examples))
    if min(len(inside), len(outside)) < MIN_MODELS:
        message = (
            f"There are {len(inside)} unlearned and {len(outside)} retrained models; "
            f"at least {MIN_MODELS} of each are needed to leave one out."
        )
        raise ValueError(message)
    few = min(len(inside), len(outside)) < FEW_MODELS
    chosen: Variance = variance or ("pooled" if few else "per_example")
    scores = _held_out_scores(inside, outside, chosen)
    accuracies = _accuracies(*scores)
    chance = _by_chance(inside, outside, chosen, np.random.default_rng(seed), shufflings)
    above = (chance.mean(axis=1) >= accuracies.mean()).sum()
    known: list[ArrayLike] = [unlearned, retrained]
    share = None
    if target is not None:
        known.append(target)
        share = float(_said_yes(_target_scores(inside, outside, target, chosen)).mean())
    return ULira(
        examples=examples,
        unlearned_models=len(inside),
        retrained_models=len(outside),
        variance=chosen,
        balanced_accuracy=float(accuracies.mean()),
        p_value=float((1 + above) / (1 + shufflings)) if shufflings else None,
        auc=_auc(*scores),
        tpr_at_1_percent=_tpr(*scores, level=0.01),
        tpr_at_01_percent=_tpr(*scores, level=0.001),
        per_example=Quantiles.of(accuracies),
        per_example_by_chance=Quantiles.of(chance) if shufflings else None,
        target_share=share,
        clipped=sum(int((np.abs(values) > CLIP).sum()) for values in map(np.asarray, known)),
    )


def log_ratios(
    unlearned: ArrayLike, retrained: ArrayLike, target: ArrayLike, *, variance: Variance
) -> Array:
    """The score of each example under one target model, (E,) in nats; arguments as in `u_lira`.

    Raises:
        ValueError: as `u_lira`; here two models on a side are enough.
    """
    inside = clipped(unlearned, "margins of unlearned models", shape=(None, None))
    outside = clipped(retrained, "margins of retrained models", shape=(None, inside.shape[1]))
    if min(len(inside), len(outside)) < MIN_MODELS - 1:
        raise ValueError("At least two models of each side are needed to fit a variance.")
    return _target_scores(inside, outside, target, variance)


def _target_scores(inside: Array, outside: Array, target: ArrayLike, variance: Variance) -> Array:
    margins = clipped(target, "margins of the target", shape=(inside.shape[1],))
    # Where every margin is at the clip, different models look the same.
    same = any((models == margins).all(axis=1).any() for models in (inside, outside))
    if same and (np.abs(margins) < CLIP).any():
        raise ValueError("The target is one of the shadow models. Leave it out there.")
    none = -np.ones(1, dtype=np.intp)
    (own_mean, own), (other_mean, other) = (
        _fit(models, none.repeat(len(models)), 1, variance) for models in (inside, outside)
    )
    return _log_ratio(margins, own_mean[0], own[0], other_mean[0], other[0])


def _held_out_scores(inside: Array, outside: Array, variance: Variance) -> tuple[Array, Array]:
    """Scores of all models, (N, E) and (M, E), each by Gaussians without the models of its fold."""
    folds = min(len(inside), len(outside))
    own, other = (np.arange(len(models)) % folds for models in (inside, outside))
    mean_in, var_in = _fit(inside, own, folds, variance)
    mean_out, var_out = _fit(outside, other, folds, variance)
    return (
        _log_ratio(inside, mean_in[own], var_in[own], mean_out[own], var_out[own]),
        _log_ratio(outside, mean_in[other], var_in[other], mean_out[other], var_out[other]),
    )


def _fit(
    models: Array, fold: NDArray[np.intp], folds: int, variance: Variance
) -> tuple[Array, ...]:
    """Means and variances over the models outside of each fold, (folds, E) each.

    From sums, so that a shuffling costs one pass whatever the number of folds.
    """
    centre = models.mean(axis=0)
    shifted = models - centre
    kept = 1.0 - (np.arange(folds)[:, None] == fold)
    count = kept.sum(axis=1, keepdims=True)
    mean = kept @ shifted / count
    found = (kept @ shifted**2 - count * mean**2) / (count - 1)
    if variance == "pooled":
        found = np.broadcast_to(found.mean(axis=1, keepdims=True), found.shape)
    return mean + centre, np.maximum(found, MIN_STD**2)


def _log_ratio(
    target: Array, mean: Array, var: Array, other_mean: Array, other_var: Array
) -> Array:
    own = (target - mean) ** 2 / var + np.log(var)
    other = (target - other_mean) ** 2 / other_var + np.log(other_var)
    return np.asarray((other - own) / 2)


def _said_yes(scores: Array) -> Array:
    """One where the target is taken for unlearned, one half where nothing speaks either way."""
    return np.heaviside(scores, 0.5)


def _accuracies(inside: Array, outside: Array) -> Array:
    """Balanced accuracy of each example over all models, (E,)."""
    hits, alarms = _said_yes(inside).mean(axis=0), _said_yes(outside).mean(axis=0)
    return np.asarray((hits + 1 - alarms) / 2)


def _by_chance(
    inside: Array, outside: Array, variance: Variance, rng: np.random.Generator, shufflings: int
) -> Array:
    """Balanced accuracy of each example with the models' sides shuffled, (shufflings, E)."""
    both, count = np.concatenate([inside, outside]), len(inside)
    found = np.empty((shufflings, both.shape[1]))
    for row in found:
        mixed = rng.permutation(both)
        row[:] = _accuracies(*_held_out_scores(mixed[:count], mixed[count:], variance))
    return found


def _auc(inside: Array, outside: Array) -> float:
    """Mean over folds of the area over all pairs of an example and a held-out model."""
    from sklearn.metrics import roc_auc_score

    folds = min(len(inside), len(outside))
    areas = []
    for fold in range(folds):
        sides = inside[fold::folds].ravel(), outside[fold::folds].ravel()
        truth = np.repeat([1, 0], [len(side) for side in sides])
        areas.append(roc_auc_score(truth, np.concatenate(sides)))
    return float(np.mean(areas))


def _tpr(inside: Array, outside: Array, *, level: float) -> float | None:
    """Largest share of unlearned pairs found while at most `level` of the others are taken so."""
    from sklearn.metrics import roc_curve

    if outside.size * level < 1:
        return None
    truth = np.repeat([1, 0], [inside.size, outside.size])
    fpr, tpr, _ = roc_curve(truth, np.concatenate([inside.ravel(), outside.ravel()]))
    return float(tpr[fpr <= level].max())
