"""IDI, the Information Difference Index: what hidden layers still know about the forget rows.

    found = idi(original, unlearned, retrained, forgotten, seed=0)   # {layer: (N, D)} of each model
    found.idi                         # 0: as much as a retrained model; 1: as much as the original

For benchmarks only: it needs a retrained model and retained rows.

Jeon et al. 2026, "An Information Theoretic Evaluation Metric for Strong Unlearning" (AAAI, arXiv
2405.17878). With Y = whether a row is to be forgotten and I(Z; Y) the information of a layer's
features about it,

    ID(model) = sum over layers of I_model(Z; Y) - I_retrained(Z; Y)
    IDI       = ID(unlearned) / ID(original)

It sees what output-level figures cannot: with one class struck out of the head, every hidden layer
is the original's and IDI is 1. Below 0, the layers know less than a retrained model's; the paper
reports such values (SCRUB, -0.056). Descriptions of it clamp each layer's difference at 0, which
`clamp=True` does.

**Ours.** The paper bounds I by InfoNCE, with a critic for each layer that is made of the network's
own later layers and a projection, and the label as two trained vectors. We bound it by held-out
answers of a classifier (`information.py`): for a binary label the same quantity is bounded, without
a network to train and with its error known. The classifier does not see through the network as the
paper's critic does; in early layers, where the information is there but tangled, ours finds less of
it in all three models. Compare IDI between methods measured here, not with the paper's tables.

All models are asked about the same rows, so H(Y) drops out of ID and each row gives one difference
of losses. Their spread gives the standard error of ID(original), and resampled rows (Efron 1979)
the interval of IDI. Both are about other rows of the same kind; that another retrained model would
differ is in neither.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from lethe.evaluation.results import Result
from lethe.evaluation.shadow.information import FOLDS, entropy, held_out_losses

# ID(original) below so many standard errors is no denominator.
CLEAR = 3.0
_RESAMPLES = 1000

Array = NDArray[np.float64]
Features = Mapping[str, ArrayLike]


class LayerInformation(Result):
    """Lower bounds on I(Z; Y) of one layer in nats; below 0 where held-out answers are wrong."""

    layer: str
    original: float
    unlearned: float
    retrained: float


class Idi(Result):
    """The index and what it is made of; see the module.

    `label_entropy` is H(Y), which no information exceeds. `id_*` are in nats, `standard_error` is
    of `id_original`. `idi` and its 95 % interval are None unless `id_original` is above zero by
    three standard errors, before clamping: otherwise the original tells forget rows apart no better
    than the retrained model, and nothing can be said of what was forgotten.
    """

    rows: int = Field(ge=1)
    forget_rows: int = Field(ge=FOLDS)
    label_entropy: float
    layers: tuple[LayerInformation, ...]
    clamped: bool
    id_original: float
    id_unlearned: float
    standard_error: float = Field(ge=0)
    idi: float | None
    low: float | None
    high: float | None


def idi(
    original: Features,
    unlearned: Features,
    retrained: Features,
    forgotten: ArrayLike,
    *,
    seed: int,
    repeats: int = 2,
    clamp: bool = False,
) -> Idi:
    """The index from features of three models on the same N rows.

    Args:
        original: (N, D) features of each layer, by name; D may differ between layers and models.
            Average feature maps over their positions first.
        unlearned: the same layers.
        retrained: the same layers.
        forgotten: (N,) truth values, whether the row is to be forgotten; at least five of each.
        seed: of folds, landmarks and resampling.
        repeats: how often folds and landmarks are drawn; losses are averaged over them.
        clamp: count a layer for zero where a model has less than the retrained one.

    Raises:
        ValueError: if layers differ between models, shapes do not fit, features are not finite, or
            there are fewer than five rows of a kind.
    """
    labels = _labels(forgotten)
    models = {"original": original, "unlearned": unlearned, "retrained": retrained}
    if not original or any(set(features) != set(original) for features in models.values()):
        raise ValueError("The three models need features of the same layers, and at least one.")
    seeds = range(repeats * seed, repeats * (seed + 1))
    losses = {
        model: np.array(
            [
                held_out_losses(
                    _features(features[name], labels, f"{model} {name}"), labels, seeds=seeds
                )
                for name in original
            ]
        )
        for model, features in models.items()
    }
    # (L, N): how much better a model tells a row's fate than the retrained one does.
    gains = [losses["retrained"] - losses[model] for model in ("original", "unlearned")]
    before, after = (float(_sum(gain.mean(axis=1), clamp=clamp)) for gain in gains)
    error = float(gains[0].sum(axis=0).std(ddof=1) / np.sqrt(len(labels)))
    known = float(gains[0].mean(axis=1).sum()) > CLEAR * error
    low, high = _interval(gains, seed, clamp=clamp) if known else (None, None)
    known_entropy = entropy(labels)
    return Idi(
        rows=len(labels),
        forget_rows=int(labels.sum()),
        label_entropy=known_entropy,
        layers=tuple(
            LayerInformation(
                layer=name,
                **{
                    model: known_entropy - float(found[index].mean())
                    for model, found in losses.items()
                },
            )
            for index, name in enumerate(original)
        ),
        clamped=clamp,
        id_original=before,
        id_unlearned=after,
        standard_error=error,
        idi=after / before if known else None,
        low=low,
        high=high,
    )


def _sum(differences: Array, *, clamp: bool) -> Array:
    """Sum over layers, the last axis."""
    return np.asarray((np.maximum(differences, 0) if clamp else differences).sum(axis=-1))


def _interval(gains: list[Array], seed: int, *, clamp: bool) -> tuple[float, float]:
    """95 % percentile interval of the ratio over rows drawn again."""
    count = gains[0].shape[1]
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    before, after = (_sum(drawn @ gain.T / count, clamp=clamp) for gain in gains)
    low, high = np.percentile(after / before, [2.5, 97.5])
    return float(low), float(high)


def _labels(forgotten: ArrayLike) -> NDArray[np.bool_]:
    given = np.asarray(forgotten)
    if given.ndim != 1 or not np.isin(given, (0, 1)).all():
        raise ValueError("Whether a row is to be forgotten must be one truth value for each row.")
    labels = given.astype(bool)
    fewest = min(int(labels.sum()), int((~labels).sum()))
    if fewest < FOLDS:
        message = f"There are {fewest} rows of one kind; at least {FOLDS} of each are needed."
        raise ValueError(message)
    return labels


def _features(values: ArrayLike, labels: NDArray[np.bool_], name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or len(array) != len(labels) or not array.shape[1]:
        message = f"Features of {name} have shape {array.shape}; expected is ({len(labels)}, D)."
        raise ValueError(message)
    if not np.isfinite(array).all():
        raise ValueError(f"Features of {name} are not finite. Leave those rows out everywhere.")
    return array
