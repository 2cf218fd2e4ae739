"""Margins against the definition, row by row, and where probabilities have run out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.evaluation.shadow.margins import CLIP, clipped, confidences, margins
from lethe.evaluation.shadow.quantiles import Quantiles

QUICK = settings(max_examples=40, deadline=None)


def slowly(row, label):
    """The log-odds of one row's label, in plain Python."""
    weights = [math.exp(logit) for logit in row]
    return math.log(weights[label] / (sum(weights) - weights[label]))


@QUICK
@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 2**16))
def test_margins_are_the_log_odds_of_each_rows_own_label(count, width, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(count, width)), rng.integers(width, size=count)
    found = margins(torch.tensor(logits), torch.tensor(labels))
    expected = [slowly(row, label) for row, label in zip(logits, labels, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    probabilities = torch.tensor(logits).softmax(1)[torch.arange(count), torch.tensor(labels)]
    np.testing.assert_allclose(confidences(found), probabilities, rtol=1e-9)


def test_margins_grow_where_probabilities_are_one_already():
    logits = torch.tensor([[50.0, 0.0], [900.0, 0.0], [0.0, 900.0]])
    labels = torch.tensor([0, 0, 0])
    assert logits.softmax(1)[0, 0] == 1
    assert margins(logits, labels).tolist() == [50, 900, -900]


def test_a_class_struck_out_is_minus_infinity_and_a_broken_row_is_nan():
    logits = torch.tensor([[-math.inf, 0.0], [math.nan, 0.0]])
    found = margins(logits, torch.tensor([0, 0]))
    assert found[0] == -math.inf
    assert math.isnan(found[1])


def test_several_networks_are_taken_at_once():
    logits, labels = torch.randn(4, 5, 3), torch.tensor([0, 2, 1, 1, 0])
    found = margins(logits, labels)
    assert found.shape == (4, 5)
    np.testing.assert_array_equal(found, [margins(one, labels) for one in logits])


@pytest.mark.parametrize(("logits", "labels"), [((5, 3), 4), ((2, 5, 3), 2), ((1, 2, 5, 3), 5)])
def test_shapes_that_do_not_fit_are_refused(logits, labels):
    with pytest.raises(ValueError, match=r"expected is \(M, E, K\) and \(E,\)"):
        margins(torch.zeros(logits), torch.zeros(labels, dtype=torch.int64))


def test_infinite_values_are_clipped_and_others_refused():
    assert clipped([math.inf, -math.inf, 3], "values", shape=(3,)).tolist() == [CLIP, -CLIP, 3]
    with pytest.raises(ValueError, match="1 of the values are not a number"):
        clipped([1, math.nan], "values", shape=(None,))
    with pytest.raises(ValueError, match=r"shape \(2, 3\); expected is \(any, 4\)"):
        clipped(np.zeros((2, 3)), "values", shape=(None, 4))
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        clipped([], "values", shape=(None,))


def test_quantiles_are_linear_between_neighbours():
    found = Quantiles.of(np.arange(101.0))
    assert (found.p05, found.p25, found.median, found.p75, found.p95) == (5, 25, 50, 75, 95)
    assert found.highest == 100
    assert Quantiles.of(np.array([0.0, 1.0])).p25 == 0.25
