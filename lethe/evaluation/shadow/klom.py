"""KLOM: how far unlearned models' margins are from retrained models', example by example.

    klom(unlearned, retrained, seed=0).median     # margins, (models, examples) each; 0 is best

For benchmarks only: it needs many unlearned and many retrained models.

KL divergence of margins of Georgiev et al. 2024, "Attribute-to-Delete: Machine Unlearning via
Datamodel Matching" (arXiv 2410.23232): for each example KL(unlearned || retrained), in nats, of
histograms over models with 20 bins between the lowest and the highest margin of both sides, clipped
to -100..100. Bins that are empty for retrained models are given 1e-5 there before both are
normalised: that is the smoothing of the authors' code, and gives an example whose two sides do not
overlap at most log(1e5) = 11.5.

Different from their code: the highest margin of an example is counted. Theirs bins with
`np.digitize` against the outer edge, so that it falls out of every bin.

The figure is biased upwards: with M models a side, 20 bins and no difference at all, it is far
above 0 unless M is large. They use 100. `by_chance` is the figure with the models' sides shuffled;
read `median` beside it, and compare with published figures only if `comparable`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from lethe.evaluation.results import Result
from lethe.evaluation.shadow.margins import clipped
from lethe.evaluation.shadow.quantiles import Quantiles

BINS = 20
SMOOTHING = 1e-5
PUBLISHED_MODELS = 100

Array = NDArray[np.float64]


class Klom(Result):
    """KL divergence of margins over examples, nats; `by_chance` is None without shufflings."""

    examples: int = Field(ge=1)
    unlearned_models: int = Field(ge=1)
    retrained_models: int = Field(ge=1)
    per_example: Quantiles
    by_chance: Quantiles | None

    @property
    def median(self) -> float:
        """Median over examples."""
        return self.per_example.median

    @property
    def p95(self) -> float:
        """95th percentile over examples."""
        return self.per_example.p95

    @property
    def comparable(self) -> bool:
        """Whether there are as many models on each side as in the publication."""
        return min(self.unlearned_models, self.retrained_models) >= PUBLISHED_MODELS

    @property
    def caveat(self) -> str | None:
        """What to say beside the figure when there are fewer models than in the publication."""
        if self.comparable:
            return None
        told = (
            f"Made from {self.unlearned_models} unlearned and {self.retrained_models} retrained "
            f"models; published figures use {PUBLISHED_MODELS} of each and are lower "
            "for that alone."
        )
        if self.by_chance is None:
            return told
        return f"{told} Models of one kind would give a median of {self.by_chance.median:.2f}."


def klom(unlearned: ArrayLike, retrained: ArrayLike, *, seed: int, shufflings: int = 20) -> Klom:
    """KL divergence of margins; see the module.

    Args:
        unlearned: (N, E) margins of unlearned models on E examples.
        retrained: (M, E) margins of retrained models.
        seed: of the shufflings.
        shufflings: how often the models' sides are shuffled to see what chance does; 0 for never.

    Raises:
        ValueError: if margins are no number or the shapes do not fit.
    """
    ours = clipped(unlearned, "margins of unlearned models", shape=(None, None))
    theirs = clipped(retrained, "margins of retrained models", shape=(None, ours.shape[1]))
    rng = np.random.default_rng(seed)
    both = np.concatenate([ours, theirs])
    chance = []
    for _ in range(shufflings):
        mixed = rng.permutation(both)
        chance.append(_divergences(mixed[: len(ours)], mixed[len(ours) :]))
    return Klom(
        examples=ours.shape[1],
        unlearned_models=len(ours),
        retrained_models=len(theirs),
        per_example=Quantiles.of(_divergences(ours, theirs)),
        by_chance=Quantiles.of(np.concatenate(chance)) if chance else None,
    )


def _divergences(ours: Array, theirs: Array) -> Array:
    from scipy.special import rel_entr

    low = np.minimum(ours.min(axis=0), theirs.min(axis=0))
    width = np.maximum(ours.max(axis=0), theirs.max(axis=0)) - low
    # Where all models agree, everything is in the first bin.
    scale = np.divide(BINS, width, out=np.zeros_like(width), where=width > 0)
    p, q = (_histograms((side - low) * scale) for side in (ours, theirs))
    q = np.where((p > 0) & (q < SMOOTHING), SMOOTHING, q)
    return np.asarray(rel_entr(p, q / q.sum(axis=1, keepdims=True)).sum(axis=1))


def _histograms(positions: Array) -> Array:
    """Shares of models in each bin, (E, 20), from positions (M, E) between 0 and 20."""
    models, examples = positions.shape
    bins = np.minimum(positions.astype(np.int64), BINS - 1) + np.arange(examples) * BINS
    counts = np.bincount(bins.ravel(), minlength=examples * BINS)
    return np.asarray(counts.reshape(examples, BINS) / models)
