"""KLOM against hand-computed histograms, NumPy's, and models with nothing to find."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.evaluation.shadow.klom import BINS, SMOOTHING, Klom, klom

QUICK = settings(max_examples=40, deadline=None)
DISJOINT = math.log(1 / SMOOTHING) + math.log1p(SMOOTHING)


def of(ours, theirs):
    """The divergence of one example."""
    columns = (np.array(side, dtype=float)[:, None] for side in (ours, theirs))
    return klom(*columns, seed=0, shufflings=0).median


def slowly(ours, theirs):
    edges = np.linspace(min(*ours, *theirs), max(*ours, *theirs), BINS + 1)
    p, q = (np.histogram(side, edges)[0] / len(side) for side in (ours, theirs))
    q = [max(b, SMOOTHING) if a else b for a, b in zip(p, q, strict=True)]
    return sum(a * math.log(a / (b / sum(q))) for a, b in zip(p, q, strict=True) if a)


def test_divergences_by_hand():
    # p = (3/4, 1/4), q = (1/4, 3/4): (3/4 - 1/4) log 3.
    assert of([0, 0, 0, 20], [0, 20, 20, 20]) == pytest.approx(math.log(3) / 2)
    assert of([0, 0], [1, 1]) == pytest.approx(DISJOINT)
    assert of([5, 5], [5, 5, 5]) == 0


def test_the_highest_margin_is_counted():
    """Left out, as in public code, both sides would be the same."""
    assert of([0, 1], [0, 0]) == pytest.approx(
        math.log(0.5) / 2 + math.log(0.5 / SMOOTHING) / 2, abs=1e-4
    )


def test_margins_are_clipped_at_a_hundred():
    assert of([math.inf, 150], [100, 1e9]) == 0
    assert of([-math.inf], [-100.0]) == 0


@QUICK
@given(st.integers(0, 2**16), st.integers(1, 30), st.integers(1, 30))
def test_divergences_are_those_of_plain_histograms(seed, ours, theirs):
    rng = np.random.default_rng(seed)
    sides = rng.normal(size=ours), rng.normal(0.5, 2, size=theirs)
    assert of(*sides) == pytest.approx(slowly(*sides), abs=1e-9)
    assert -1e-12 <= of(*sides) <= DISJOINT + 1e-9
    assert of(*(rng.permutation(side) for side in sides)) == pytest.approx(of(*sides))
    assert of(sides[0], sides[0]) == pytest.approx(0, abs=1e-12)


def test_examples_are_kept_apart():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(50, 40)), rng.normal(size=(50, 40))
    ours[:, 0] += 30
    found = klom(ours, theirs, seed=0)
    each = sorted(slowly(a, b) for a, b in zip(ours.T, theirs.T, strict=True))
    assert each[-1] > 9
    assert found.per_example.highest == pytest.approx(each[-1])
    assert found.median == pytest.approx((each[19] + each[20]) / 2)
    assert found.p95 == pytest.approx(np.quantile(each, 0.95))
    assert found.by_chance.highest < found.per_example.highest


def test_few_models_of_one_kind_seem_different_and_the_result_says_so():
    rng = np.random.default_rng(0)
    few = klom(rng.normal(size=(10, 200)), rng.normal(size=(10, 200)), seed=0)
    assert few.median > 2
    assert few.median == pytest.approx(few.by_chance.median, rel=0.15)
    assert not few.comparable
    assert "10 unlearned and 10 retrained" in few.caveat
    assert f"a median of {few.by_chance.median:.2f}" in few.caveat
    many = klom(rng.normal(size=(3000, 10)), rng.normal(size=(3000, 10)), seed=0, shufflings=1)
    assert many.median < 0.02
    assert many.comparable
    assert many.caveat is None


def test_what_was_not_forgotten_is_far_above_chance():
    rng = np.random.default_rng(0)
    found = klom(rng.normal(9, 1, size=(20, 30)), rng.normal(size=(20, 30)), seed=0)
    assert found.median > 9 > 3 * found.by_chance.median


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="retrained models have shape"):
        klom(np.zeros((3, 4)), np.zeros((3, 5)), seed=0)
    with pytest.raises(ValueError, match="not a number"):
        klom([[math.nan]], [[0.0]], seed=0)


def test_results_survive_json_and_seeds_repeat():
    sides = np.random.default_rng(0).normal(size=(2, 5, 4))
    found = klom(*sides, seed=1)
    assert klom(*sides, seed=1) == found
    assert Klom.model_validate_json(found.model_dump_json()) == found
    bare = klom(*sides, seed=1, shufflings=0)
    assert bare.by_chance is None
    assert "5 unlearned" in bare.caveat
