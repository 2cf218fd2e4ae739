"""Targets and ranks among rows never seen, by hand and against an independent implementation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lethe.data.card_facts import LEVELS
from lethe.unlearning.unseen import log_odds_of, matched_targets, share_above

# Losses of rows never seen: of class 0 uniform on 0..2, of class 1 on 10..20.
UNIFORM = torch.stack([torch.tensor(LEVELS) * 2, 10 + torch.tensor(LEVELS) * 10])


def test_the_row_with_the_kth_lowest_loss_is_given_the_kth_quantile_of_its_class():
    """Of four rows of class 0 the levels are 1/8, 3/8, 5/8 and 7/8; of one row of class 1, 1/2."""
    losses = torch.tensor([0.03, 0.0, 0.02, 0.01, 0.5])
    labels = torch.tensor([0, 0, 0, 0, 1])
    found = matched_targets(losses, labels, UNIFORM)
    torch.testing.assert_close(found, torch.tensor([1.75, 0.25, 1.25, 0.75, 15.0]))


def test_a_row_whose_loss_is_higher_already_is_left_there():
    found = matched_targets(torch.tensor([0.0, 9.0]), torch.tensor([0, 0]), UNIFORM)
    torch.testing.assert_close(found, torch.tensor([0.5, 9.0]))


LOSSES = st.lists(st.floats(0, 5, width=32), min_size=1, max_size=40)


@given(LOSSES, st.lists(st.floats(0, 5, width=32), min_size=5, max_size=40))
@settings(deadline=None)
def test_targets_rise_with_the_rank_and_lie_within_what_was_seen(losses, unseen):
    losses = torch.tensor(losses)
    quantiles = torch.tensor(np.quantile(unseen, LEVELS), dtype=torch.float32)[None]
    found = matched_targets(losses, torch.zeros(len(losses), dtype=torch.long), quantiles)
    assert (found >= losses).all()
    assert (found[losses.argsort(stable=True)].diff() >= 0).all()
    raised = found[found > losses]
    assert (raised >= quantiles.min() - 1e-5).all()
    assert (raised <= quantiles.max() + 1e-5).all()


def test_rows_at_their_targets_do_not_stand_out():
    labels = torch.arange(200) % 2
    targets = matched_targets(torch.zeros(200), labels, UNIFORM)
    assert share_above(targets, UNIFORM[labels]).mean().item() == pytest.approx(0.5, abs=1e-6)


def test_shares_by_hand_at_between_below_above_and_tied():
    """All but the last level of the second class are zero: a loss of zero ties with 19 of 20."""
    tied = torch.zeros(len(LEVELS))
    tied[-1] = 1.0
    quantiles = torch.stack([UNIFORM[0]] * 4 + [tied])
    found = share_above(torch.tensor([0.5, 1.03, -1.0, 7.0, 0.0]), quantiles)
    expected = torch.tensor([0.75, 0.485, 1.0, 0.0, 1 - 0.95 / 2], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_their_mean_is_the_area_under_the_curve():
    generator = np.random.default_rng(0)
    inside, outside = generator.exponential(1, 300), generator.exponential(1.5, 2001)
    table = torch.tensor(np.quantile(outside, LEVELS))
    found = share_above(torch.tensor(inside), table.expand(300, -1)).mean().item()
    truth = np.r_[np.ones(300), np.zeros(2001)]
    assert found == pytest.approx(roc_auc_score(truth, -np.r_[inside, outside]), abs=0.01)
    assert found > 0.55


@pytest.mark.parametrize("p", [0.001, 0.5, 0.9, 0.999])
def test_log_odds_of_a_loss(p):
    loss = -torch.tensor([p], dtype=torch.float64).log()
    assert log_odds_of(loss).item() == pytest.approx(np.log(p / (1 - p)))


def test_log_odds_are_finite_at_no_loss_and_at_a_huge_one():
    assert log_odds_of(torch.tensor([0.0])).item() == pytest.approx(16.118, abs=1e-2)
    assert log_odds_of(torch.tensor([1e4])).item() == pytest.approx(-1e4)
