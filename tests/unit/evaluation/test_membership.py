import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, mannwhitneyu, norm
from torch.nn import functional as F

from lethe.evaluation.membership import (
    Membership,
    attack,
    confidence_scores,
    distance,
    loss_scores,
)

few = st.lists(st.integers(-4, 4), min_size=5, max_size=30)


def test_area_counts_pairs_and_half_of_each_tie():
    # Non-members 1..5. Members beat: 0 -> 0; 3 -> 2 and a tie; 3 -> the same; 6 -> 5; 6 -> 5.
    found = attack([0, 3, 3, 6, 6], [1, 2, 3, 4, 5], seed=0)
    assert found.auc == pytest.approx((0 + 2.5 + 2.5 + 5 + 5) / 25)
    assert (found.members, found.non_members) == (5, 5)
    # Threshold 6: two of five members and no non-member. No threshold does better than 0.4.
    assert found.advantage == pytest.approx(0.4)


def test_members_that_score_higher_give_an_area_above_one_half():
    low, high = np.arange(10.0), np.arange(10.0) + 100
    leaking, overdone = attack(high, low, seed=0), attack(low, high, seed=0)
    assert (leaking.auc, leaking.low, leaking.high) == (1, 1, 1)
    assert (overdone.auc, overdone.advantage) == (0, 1)
    assert distance(leaking, None) == 0.5
    assert distance(overdone, None) == -0.5
    # The reference's area is the target, wherever it lies.
    assert distance(leaking, leaking) == 0
    assert distance(overdone, leaking) == -1


def test_low_loss_on_training_rows_is_what_the_attack_sees():
    logits = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(400) % 6
    trained = logits + 2 * F.one_hot(labels, 6)
    found = attack(loss_scores(trained, labels), loss_scores(logits, labels), seed=0)
    assert found.low > 0.8


def test_scores_agree_with_cross_entropy_and_the_logit_of_the_probability():
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(50, 7, generator=generator)
    labels = torch.randint(7, (50,), generator=generator)
    exact = logits.double()
    loss = F.cross_entropy(exact, labels, reduction="none")
    torch.testing.assert_close(loss_scores(logits, labels), -loss)
    p = exact.softmax(1).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(confidence_scores(logits, labels), torch.logit(p))


def test_scores_keep_very_sure_rows_apart():
    # With p = 1 - 1e-26 and 1 - 1e-35 one minus p is zero in any floating-point number.
    logits, labels = torch.tensor([[60.0, 0.0], [80.0, 0.0]]), torch.tensor([0, 0])
    assert confidence_scores(logits, labels).tolist() == [60, 80]
    low, high = loss_scores(logits, labels).tolist()
    assert low < high < 0
    assert low == pytest.approx(-math.exp(-60))


def test_scores_of_a_class_ruled_out_and_of_broken_outputs():
    inf, nan = math.inf, math.nan
    logits = torch.tensor(
        [[-inf, 0, 0], [0, -inf, -inf], [inf, 0, 0], [nan, 0, 0], [0, nan, 0], [-inf] * 3]
    )
    labels = torch.zeros(6, dtype=torch.int64)
    broken = ~logits.softmax(1).isfinite().all(1)
    for scores, sure in ((confidence_scores, inf), (loss_scores, 0.0)):
        found = scores(logits, labels)
        assert found[:2].tolist() == [-inf, sure]
        assert torch.equal(found.isnan(), broken)


def test_loss_and_scaled_confidence_are_the_same_attack():
    logits = torch.randn(60, 4, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(60) % 4
    found = [
        attack(scores[:30], scores[30:], seed=3)
        for scores in (loss_scores(logits, labels), confidence_scores(logits, labels))
    ]
    assert found[0] == found[1]


def test_striking_a_class_out_of_the_head_hides_nothing_short_of_infinity():
    generator = torch.Generator().manual_seed(4)
    inside, outside = (
        torch.randn(40, 3, generator=generator),
        torch.randn(20, 3, generator=generator),
    )
    inside[:, 0] += 1
    found = []
    for taken in (0.0, 64.0, math.inf):
        shift = torch.tensor([taken, 0, 0])
        scores = [loss_scores(x - shift, torch.zeros(len(x), dtype=int)) for x in (inside, outside)]
        found.append(attack(*scores, seed=0))
    assert found[1].auc == pytest.approx(found[0].auc)
    assert found[0].low > 0.5
    assert (found[2].auc, found[2].infinite, found[2].advantage) == (0.5, 60, 0)


def test_scores_that_are_no_number_are_left_out_and_told():
    nan, inf = math.nan, math.inf
    found = attack([1, 2, 3, 4, inf, nan], [0, 0, 0, 0, -inf, nan, nan], seed=0)
    assert (found.members, found.non_members, found.left_out, found.infinite) == (5, 5, 3, 2)
    assert found.auc == 1


@pytest.mark.parametrize(
    ("members", "non_members"),
    [([], [1.0] * 9), ([1.0] * 9, []), ([1.0] * 4, [1.0] * 9), ([1.0] * 9, [1.0] * 4 + [math.nan])],
)
def test_too_few_rows_give_no_figure(members, non_members):
    assert attack(members, non_members, seed=0) is None


def test_scores_must_be_one_per_row():
    with pytest.raises(ValueError, match=r"\(9, 1\)"):
        attack(torch.zeros(9, 1), torch.zeros(9), seed=0)


@pytest.mark.parametrize(("count", "known"), [(99, 0), (100, 1), (999, 1), (1000, 2)])
def test_a_rate_is_not_given_with_too_few_rows_to_count_it_in(count, known):
    found = attack(np.arange(20.0), np.arange(float(count)), seed=0, resamples=10)
    rates = [found.tpr_at_1_percent, found.tpr_at_01_percent]
    assert [rate is not None for rate in rates] == [known > 0, known > 1]


def test_true_positive_rates_at_low_false_positive_rates():
    # Non-members 0..999. One of them (999) may be taken at 0.1 %, ten (990..999) at 1 %.
    members = [2000.0] * 3 + [998.5] * 2 + [990.5] * 4 + [988.5] + [-1.0] * 10
    found = attack(members, np.arange(1000.0), seed=0, resamples=10)
    assert found.tpr_at_01_percent == 5 / 20
    assert found.tpr_at_1_percent == 9 / 20


def test_a_tie_with_non_members_does_not_count_as_found():
    found = attack([5.0] * 50, [5.0] * 50 + [0.0] * 50, seed=0)
    assert found.tpr_at_1_percent == 0


@given(few, few)
@settings(max_examples=60, deadline=None)
def test_area_and_advantage_agree_with_scipy(members, non_members):
    found = attack(members, non_members, seed=0, resamples=20)
    u = mannwhitneyu(members, non_members).statistic
    assert found.auc == pytest.approx(u / (len(members) * len(non_members)))
    assert found.advantage == pytest.approx(
        ks_2samp(members, non_members, method="asymp").statistic
    )


@given(few, few)
@settings(max_examples=60, deadline=None)
def test_exchanged_sides_give_the_area_of_the_other_direction(members, non_members):
    one, other = attack(members, non_members, seed=0), attack(non_members, members, seed=0)
    assert one.auc == pytest.approx(1 - other.auc)
    assert one.advantage == pytest.approx(other.advantage)


@given(few, few, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_rising_map_of_the_scores_gives_the_same_result(members, non_members, seed):
    plain = attack(members, non_members, seed=seed, resamples=50)
    for rising in (np.exp, lambda x: np.asarray(x) ** 3, lambda x: 7 * np.asarray(x) - 1e6):
        assert attack(rising(members), rising(non_members), seed=seed, resamples=50) == plain


@given(few, few, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_interval_contains_the_area(members, non_members, seed):
    found = attack(members, non_members, seed=seed, resamples=200)
    assert 0 <= found.low <= found.auc <= found.high <= 1
    assert Membership.model_validate_json(found.model_dump_json()) == found


def test_the_interval_is_that_of_areas_of_rows_drawn_again():
    draw = np.random.default_rng(5)
    members, non_members = draw.integers(0, 9, 40) + 1, draw.integers(0, 9, 25)
    areas = []
    for _ in range(3000):
        again = draw.choice(members, 40), draw.choice(non_members, 25)
        areas.append(mannwhitneyu(*again).statistic / (40 * 25))
    found = attack(members, non_members, seed=0, resamples=3000)
    expected = np.percentile(areas, [2.5, 97.5])
    assert [found.low, found.high] == pytest.approx(expected, abs=0.012)


def test_the_interval_covers_the_true_area_about_as_often_as_it_says():
    # Members N(1, 1), non-members N(0, 1): the true area is Phi(1 / sqrt 2).
    truth, draw = norm.cdf(1 / math.sqrt(2)), np.random.default_rng(6)
    covered = 0
    for seed in range(300):
        found = attack(draw.normal(1, 1, 100), draw.normal(0, 1, 60), seed, resamples=400)
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / 300 <= 0.985


def test_the_seed_gives_the_interval_whatever_is_drawn_at_once(monkeypatch):
    draw = np.random.default_rng(7)
    sides = draw.normal(size=50), draw.normal(size=30)
    first, again, other = (attack(*sides, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    monkeypatch.setattr("lethe.evaluation.membership._ROWS_AT_ONCE", 100)
    in_pieces = attack(*sides, seed=1)
    assert in_pieces.low == pytest.approx(first.low, abs=0.02)
    assert in_pieces.auc == first.auc


def test_thousands_of_rows_take_no_time():
    draw = np.random.default_rng(8)
    sides = draw.normal(1, 1, 5000), draw.normal(0, 1, 1000)
    begun = time.process_time()
    found = attack(*sides, seed=0)
    # Counting all pairs again for each resample takes a minute.
    assert time.process_time() - begun < 5
    assert found.high - found.low < 0.05
