"""Fronts and volumes by hand, and what must hold of any points."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.evaluation.fronts import hypervolume, pareto

# Sixteenths add up exactly.
UNITS = st.integers(0, 16).map(lambda n: n / 16)


def sets(objectives: int):
    return st.lists(st.tuples(*[UNITS] * objectives), min_size=1, max_size=8)


EITHER = st.one_of(sets(2), sets(3))


def dominates(a, b):
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


def volume_by_inclusion(points):
    """Inclusion and exclusion over the boxes from the origin, one for each point."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for chosen in combinations(points, size):
            total += (-1) ** (size + 1) * float(np.prod(np.min(chosen, axis=0)))
    return total


def test_a_front_by_hand():
    points = [(1, 4), (2, 3), (2, 2), (4, 1), (0, 4), (4, 1)]
    assert pareto(points).tolist() == [True, True, False, True, False, True]


def test_a_front_of_three_objectives_by_hand():
    points = [(1, 1, 3), (1, 1, 2), (2, 0, 0), (0, 0, 3), (2, 0, 1)]
    assert pareto(points).tolist() == [True, False, False, False, True]


def test_volumes_by_hand():
    """Steps of 1x4, 1x3 and 2x1 above the origin; from (1, 0) the first step is gone."""
    points = [(1, 4), (2, 3), (4, 1), (2, 2)]
    assert hypervolume(points, (0, 0)) == 4 + 3 + 2
    assert hypervolume(points, (1, 0)) == 3 + 2
    assert hypervolume([(1, 4)], (0, 1)) == 3
    assert hypervolume([(2, 1, 1), (1, 2, 1), (1, 1, 2)], (0, 0, 0)) == 4


def test_what_is_no_better_than_the_reference_adds_nothing():
    assert hypervolume([(0.5, 0.5), (0.2, 0.9)], (0.3, 0.3)) == pytest.approx(0.04)
    assert hypervolume([(0.2, 0.9)], (0.2, 0.3)) == 0


def test_no_points_make_no_front_and_no_volume():
    assert pareto([]).tolist() == []
    assert hypervolume([], (0, 0)) == 0


@pytest.mark.parametrize("points", [[(1.0, float("nan"))], [(float("inf"), 1.0)], [1.0, 2.0]])
def test_figures_that_are_none_are_refused(points):
    with pytest.raises(ValueError, match="points"):
        pareto(points)
    with pytest.raises(ValueError, match="points"):
        hypervolume(points, (0, 0))


def test_a_reference_of_other_objectives_is_refused():
    with pytest.raises(ValueError, match="needs 2 figures, not 3"):
        hypervolume([(1, 1)], (0, 0, 0))
    with pytest.raises(ValueError, match="not finite"):
        hypervolume([(1, 1)], (0, float("nan")))


@given(EITHER)
def test_the_front_is_what_the_definition_says(points):
    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert pareto(points).tolist() == expected


@given(EITHER)
def test_the_volume_is_that_of_the_union_of_boxes(points):
    origin = (0.0,) * len(points[0])
    assert hypervolume(points, origin) == pytest.approx(volume_by_inclusion(points))


@given(EITHER, st.randoms())
def test_only_the_front_counts_and_in_any_order(points, random):
    origin = (0.0,) * len(points[0])
    whole = hypervolume(points, origin)
    front = [point for point, on in zip(points, pareto(points), strict=True) if on]
    random.shuffle(front)
    assert hypervolume(front, origin) == pytest.approx(whole)


@given(sets(2))
def test_more_points_never_dominate_less(points):
    grown = [hypervolume(points[:n], (0, 0)) for n in range(1, len(points) + 1)]
    assert all(first <= second + 1e-12 for first, second in pairwise(grown))
