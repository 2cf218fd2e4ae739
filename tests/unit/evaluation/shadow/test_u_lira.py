"""The attack against closed forms, a slow implementation, and models with nothing to find."""

import math
from itertools import chain
from statistics import NormalDist, mean, variance

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.evaluation.shadow.u_lira import ULira, log_ratios, u_lira

QUICK = settings(max_examples=10, deadline=None)


def two_sides(rng, models, examples, *, shift=0.0, scale=1.0):
    """Margins of unlearned and of retrained models, (models, examples) each."""
    unlearned = rng.normal(shift, scale, size=(models, examples))
    return unlearned, rng.normal(size=(models, examples))


def slow_scores(sides, *, pooled):
    """Scores of all models by hand, from plain lists of models: the same folds, nothing else."""
    folds = min(map(len, sides))
    scores = ([], [])
    for side, models in enumerate(sides):
        for number, target in enumerate(models):
            kept = [[m for i, m in enumerate(s) if i % folds != number % folds] for s in sides]
            row = []
            for example, value in enumerate(target):
                logs = []
                for others in kept:
                    columns = list(zip(*others, strict=True))
                    spread = mean(map(variance, columns)) if pooled else variance(columns[example])
                    away = NormalDist(mean(columns[example]), math.sqrt(spread)).zscore(value)
                    logs.append(-(away**2) / 2 - math.log(spread) / 2)
                row.append(logs[0] - logs[1])
            scores[side].append(row)
    return scores


def test_one_score_by_hand():
    """Means 1 and 5, both variances 2: ((1 - 5)^2 / 2 - 0) / 2 = 4."""
    found = log_ratios([[0], [2]], [[4], [6]], [1], variance="per_example")
    assert found.tolist() == pytest.approx([4])
    # Variances 2 and 8 around the same mean: log(2) at the mean itself.
    found = log_ratios([[-1], [1]], [[-2], [2]], [0], variance="per_example")
    assert found.tolist() == pytest.approx([math.log(2)])
    # Pooled over two examples the variances are (2 + 8) / 2 on both sides.
    found = log_ratios([[-1, -2], [1, 2]], [[3, 2], [5, 6]], [0, 0], variance="pooled")
    assert found.tolist() == pytest.approx([16 / 5 / 2, 16 / 5 / 2])


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("counts", [(4, 4), (5, 3), (3, 5)])
def test_figures_are_those_of_a_slow_implementation(pooled, counts):
    rng = np.random.default_rng(sum(counts))
    sides = [rng.normal(size=(count, 3)) for count in counts]
    sides = [(sides[0] + 1).tolist(), sides[1].tolist()]
    found = u_lira(*sides, seed=0, variance="pooled" if pooled else "per_example", shufflings=0)
    own, other = slow_scores(sides, pooled=pooled)
    hits = [sum(score > 0 for score in column) / counts[0] for column in zip(*own, strict=True)]
    alarms = [sum(score > 0 for score in column) / counts[1] for column in zip(*other, strict=True)]
    each = [(hit + 1 - alarm) / 2 for hit, alarm in zip(hits, alarms, strict=True)]
    assert found.balanced_accuracy == pytest.approx(mean(each))
    assert found.per_example.median == pytest.approx(sorted(each)[1])
    folds, areas = min(counts), []
    for fold in range(folds):
        mine, theirs = (list(chain(*scores[fold::folds])) for scores in (own, other))
        areas.append(mean(float(a > b) for a in mine for b in theirs))
    assert found.auc == pytest.approx(mean(areas))


def test_told_apart_as_well_as_two_gaussians_can_be():
    """Two standard deviations apart: accuracy Phi(1) = 0.841, area Phi(sqrt 2) = 0.921."""
    sides = two_sides(np.random.default_rng(0), 100, 400, shift=2)
    found = u_lira(*sides, seed=0, shufflings=0)
    assert found.variance == "per_example"
    assert found.balanced_accuracy == pytest.approx(NormalDist().cdf(1), abs=0.01)
    assert found.auc == pytest.approx(NormalDist().cdf(math.sqrt(2)), abs=0.01)
    at_one_percent = 1 - NormalDist(2).cdf(NormalDist().inv_cdf(0.99))
    assert found.tpr_at_1_percent == pytest.approx(at_one_percent, abs=0.03)


def test_models_pushed_too_far_are_found_as_well():
    below = u_lira(*two_sides(np.random.default_rng(0), 16, 20, shift=-6), seed=0)
    assert below.balanced_accuracy > 0.99
    wider = u_lira(*two_sides(np.random.default_rng(0), 100, 20, scale=5), seed=0, shufflings=20)
    # Nothing but the spread differs, and no threshold on the margin finds more than a half.
    assert wider.balanced_accuracy > 0.75
    assert wider.p_value == pytest.approx(1 / 21)


def test_unforgotten_examples_are_told_apart_every_time():
    found = u_lira(*two_sides(np.random.default_rng(0), 8, 200, shift=20), seed=0)
    assert (found.balanced_accuracy, found.auc) == (1, 1)
    assert (found.tpr_at_1_percent, found.tpr_at_01_percent) == (1, 1)
    assert found.per_example.p05 == 1
    assert found.p_value == pytest.approx(1 / 101)
    assert found.per_example_by_chance.median == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("counts", [(3, 3), (3, 8), (8, 3)])
@pytest.mark.parametrize("variance", ["pooled", "per_example"])
def test_models_of_one_kind_are_told_apart_half_the_time(counts, variance):
    """Also with few models and unequal counts, where leaving out one alone gives less than half."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(20):
        sides = (rng.normal(size=(count, 1000)) for count in counts)
        found.append(u_lira(*sides, seed=0, variance=variance, shufflings=0))
    assert mean(one.balanced_accuracy for one in found) == pytest.approx(0.5, abs=0.004)
    assert mean(one.auc for one in found) == pytest.approx(0.5, abs=0.004)


def test_models_of_one_kind_are_no_better_than_shuffled_ones():
    rng = np.random.default_rng(3)
    values = [u_lira(*two_sides(rng, 4, 30), seed=s, shufflings=19).p_value for s in range(40)]
    assert mean(values) == pytest.approx(0.5, abs=0.15)
    assert mean(value <= 0.05 for value in values) < 0.2


def test_one_example_that_was_not_forgotten_is_seen():
    unlearned, retrained = two_sides(np.random.default_rng(0), 16, 50)
    unlearned[:, 3] += 20
    found = u_lira(unlearned, retrained, seed=0, variance="per_example")
    assert found.per_example.highest == 1
    assert found.per_example.median == pytest.approx(0.5, abs=0.1)
    assert found.per_example_by_chance.p95 < 0.85


def test_another_model_is_attacked_with_all_shadow_models():
    rng = np.random.default_rng(0)
    unlearned, retrained = two_sides(rng, 6, 40, shift=10)
    of = {
        shift: u_lira(unlearned, retrained, seed=0, target=rng.normal(shift, 1, 40), shufflings=0)
        for shift in (0, 10)
    }
    assert (of[10].target_share, of[0].target_share) == (1, 0)
    assert u_lira(unlearned, retrained, seed=0).target_share is None


@pytest.mark.parametrize("side", [0, 1])
def test_a_target_among_the_shadow_models_is_refused(side):
    sides = two_sides(np.random.default_rng(0), 4, 5)
    with pytest.raises(ValueError, match="one of the shadow models"):
        u_lira(*sides, seed=0, target=sides[side][2])


def test_examples_that_all_models_rule_out_say_nothing():
    """A class struck out of the head: minus infinity everywhere, also for the target."""
    struck = np.full((4, 6), -math.inf)
    found = u_lira(struck, struck, seed=0, target=struck[0])
    assert (found.balanced_accuracy, found.auc, found.target_share) == (0.5, 0.5, 0.5)
    assert found.clipped == 4 * 6 * 2 + 6
    # Against models that merely do not know it, it stands out.
    assert u_lira(struck, np.zeros((4, 6)), seed=0).balanced_accuracy == 1


def test_what_is_too_few_to_count_is_not_given():
    found = u_lira(*two_sides(np.random.default_rng(0), 4, 24), seed=0, shufflings=0)
    assert (found.tpr_at_1_percent, found.tpr_at_01_percent) == (None, None)
    assert (found.p_value, found.per_example_by_chance) == (None, None)
    more = u_lira(*two_sides(np.random.default_rng(0), 4, 25), seed=0, shufflings=0)
    assert more.tpr_at_1_percent is not None
    assert more.tpr_at_01_percent is None
    assert (found.examples, found.unlearned_models, found.retrained_models) == (24, 4, 4)


def test_variances_are_pooled_by_default_below_64_models():
    for count, expected in ((63, "pooled"), (64, "per_example")):
        sides = two_sides(np.random.default_rng(0), count, 2)
        assert u_lira(*sides, seed=0, shufflings=0).variance == expected


def test_what_cannot_be_attacked_is_refused():
    good = np.zeros((4, 5))
    with pytest.raises(ValueError, match="2 unlearned and 4 retrained"):
        u_lira(good[:2], good, seed=0)
    with pytest.raises(ValueError, match="retrained models have shape"):
        u_lira(good, np.zeros((4, 6)), seed=0)
    with pytest.raises(ValueError, match="target have shape"):
        u_lira(good, good, seed=0, target=np.zeros(4))
    with pytest.raises(ValueError, match="5 of the margins of unlearned"):
        u_lira(np.where(np.arange(4)[:, None] == 1, np.nan, good), good, seed=0)
    with pytest.raises(ValueError, match="two models of each side"):
        log_ratios(good[:1], good, good[0] + 1, variance="pooled")


def test_results_survive_json_and_seeds_repeat():
    sides = two_sides(np.random.default_rng(0), 4, 30)
    found = u_lira(*sides, seed=5)
    assert ULira.model_validate_json(found.model_dump_json()) == found
    assert u_lira(*sides, seed=5) == found


@QUICK
@given(st.integers(0, 2**16), st.integers(3, 4), st.sampled_from(["pooled", "per_example"]))
def test_sides_units_and_order_of_examples_do_not_matter(seed, models, variance):
    rng = np.random.default_rng(seed)
    unlearned, retrained = two_sides(rng, models, 7, shift=0.5)
    found = u_lira(unlearned, retrained, seed=0, variance=variance, shufflings=0)
    order, offset = rng.permutation(7), rng.normal(size=7)
    for sides in (
        (retrained, unlearned),
        (unlearned[:, order], retrained[:, order]),
        (3 * unlearned + offset, 3 * retrained + offset),
    ):
        again = u_lira(*sides, seed=0, variance=variance, shufflings=0)
        assert again.balanced_accuracy == pytest.approx(found.balanced_accuracy)
        assert again.auc == pytest.approx(found.auc)
        assert again.per_example.highest == pytest.approx(found.per_example.highest)
