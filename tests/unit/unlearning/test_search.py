"""The search: reproducible, within its budget, never worse than the default by its own score."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lethe.data.rows import SomeRows, TensorRows
from lethe.errors import MethodError
from lethe.unlearning.method import Context, ForgetTarget, load_method, method_names
from lethe.unlearning.search import Found, Trial, draw, search, search_space
from lethe.unlearning.search_score import new_judge, score_of


def target(digits, *labels):
    return ForgetTarget(digits.of_class(*labels), "class", labels)


def test_the_first_trial_is_the_method_as_it_is(digits):
    found = search("delete", digits.model, target(digits, 3), Context(seed=1), budget=3)
    assert len(found.trials) == 3
    assert found.trials[0].options == {}
    assert found.options == found.trials[found.best].options


def test_what_is_found_is_never_worse_than_the_default(digits):
    for seed in range(3):
        found = search("delete", digits.model, target(digits, 8), Context(seed=seed), budget=3)
        assert found.trials[found.best].score == min(trial.score for trial in found.trials)
        assert found.trials[found.best].score <= found.trials[0].score


def test_a_default_that_is_only_equalled_stays():
    trials = [Trial({"bound": at}, 1.0, 0.5, 1 / 3, 1.0) for at in (0, 1)]
    assert Found({}, tuple(trials), 2.0).best == 0
    better = Trial({"bound": 2}, 1.0, 0.4, 0.4 / 1.4, 1.0)
    assert Found({}, (*trials, better), 3.0).best == 2


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(digits):
    once, again = (
        search("delete", digits.model, target(digits, 3), Context(seed=5), budget=3)
        for _ in range(2)
    )
    assert once == again
    other = search("delete", digits.model, target(digits, 3), Context(seed=6), budget=3)
    assert [t.options for t in other.trials] != [t.options for t in once.trials]


def test_the_model_and_the_random_state_outside_are_left_as_they_are(digits):
    before = {name: value.clone() for name, value in digits.model.state_dict().items()}
    search("delete", digits.model, target(digits, 3), Context(), budget=2)
    after = digits.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("name", method_names())
def test_every_value_of_every_space_is_accepted_and_the_default_may_be_among_them(name):
    for key, values in search_space(name).items():
        for value in values:
            assert getattr(load_method(name, {key: value}), key) == value
        assert key not in {"edited_share", "inside", "scope"}, "the score sees outputs alone"


def test_settings_that_were_given_are_not_searched(digits):
    base = {"learning_rate": 1e-4}
    assert "learning_rate" not in search_space("delete", base)
    found = search("delete", digits.model, target(digits, 3), Context(), budget=3, base=base)
    assert all(trial.options["learning_rate"] == 1e-4 for trial in found.trials)
    assert found.trials[0].options == base


@pytest.mark.parametrize("budget", [0, 1])
def test_a_budget_that_compares_nothing_tries_nothing(digits, budget):
    base = {"repair_epochs": 1}
    found = search("delete", digits.model, target(digits, 3), Context(), budget=budget, base=base)
    assert (found.options, found.trials) == (base, ())


def test_a_method_that_declares_nothing_is_left_alone(digits):
    found = search("jit", digits.model, target(digits, 3), Context(), budget=9)
    assert (found.options, found.trials) == ({}, ())


def test_no_setting_is_tried_twice_and_a_large_budget_ends_with_the_space():
    tried = list(draw("random_labels", budget=50, seed=0))
    rates = {load_method("random_labels", options).learning_rate for options in tried}
    assert len(rates) == len(tried) == 5  # the default 2e-4 is one of the five


def test_only_forget_rows_that_no_trial_edited_are_judged(digits):
    forget = target(digits, 3)
    judge = new_judge(digits.model, forget, Context())
    edited, judged = (
        {x.numpy().tobytes() for batch in rows.batches(7) for x in batch.x}
        for rows in (judge.edited.rows, judge.judged)
    )
    assert len(judge.judged) == int(0.2 * len(forget.rows))
    assert not edited & judged
    assert len(edited | judged) == len({x.numpy().tobytes() for x in forget.rows.x})


def test_few_rows_and_single_rows_are_judged_on_themselves(digits):
    few = TensorRows(digits.of_class(3).x[:30], digits.of_class(3).y[:30])
    for forget in (ForgetTarget(few, "class", (3,)), ForgetTarget(digits.rows, "samples")):
        judge = new_judge(digits.model, forget, Context())
        assert judge.edited is forget
        assert len(judge.judged) == len(forget.rows)


def test_the_original_has_no_drift_and_has_forgotten_nothing(digits):
    scored = new_judge(digits.model, target(digits, 3), Context()).score(digits.model)
    assert scored.drift == pytest.approx(0, abs=1e-6)
    assert scored.forgotten < 0.1
    assert scored.score > 1


def test_drift_is_the_mean_kl_among_the_classes_that_stay(digits):
    judge = new_judge(digits.model, target(digits, 3), Context())
    torch.manual_seed(0)
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    stay = [k for k in range(10) if k != 3]
    with torch.no_grad():
        q = F.softmax(judge.teacher[:, stay].double(), 1)
        p = F.softmax(student(judge.anchors)[:, stay].double(), 1)
    by_hand = (q * (q.log() - p.log())).sum(1).mean().item()
    assert judge.score(student).drift == pytest.approx(by_hand, rel=1e-4)


def test_what_forgot_ranks_before_what_did_not_however_far_it_drifted():
    assert score_of(1.0, 50.0, 0.99) < score_of(0.98, 0.0, 0.99)
    assert score_of(1.0, 0.1, 0.99) < score_of(1.0, 0.2, 0.99)
    assert score_of(0.9, 0.1, 0.99) < score_of(0.5, 0.0, 0.99) <= 2
    assert score_of(1.0, 0.25, 0.99) == pytest.approx(0.2)


def test_a_network_that_is_ruined_loses_against_the_default(digits):
    judge = new_judge(digits.model, target(digits, 3), Context())
    ruined = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.constant_(ruined[1].weight, math.nan)
    assert judge.score(ruined).score == 2.0


def test_an_edit_that_fails_is_a_trial_and_if_all_fail_an_error(digits):
    with pytest.raises(MethodError, match="None of 3 trials"):
        search(
            "pte", digits.model, target(digits, 3), Context(), budget=3,
            base={"growth": 1e6, "learning_rate": 1e30},
        )  # fmt: skip


def test_a_kind_that_the_method_does_not_forget_is_refused_before_any_trial(digits):
    with pytest.raises(MethodError, match="forgets by class"):
        search("pte", digits.model, ForgetTarget(digits.rows, "samples"), Context(), budget=2)


def test_some_rows_are_each_given_once_with_positions_of_their_own(digits):
    kept = torch.arange(len(digits.rows)) % 3 == 1
    some = SomeRows(digits.rows, kept)
    for seed in (None, 4):
        batches = list(some.batches(50, seed=seed))
        positions = torch.cat([b.positions for b in batches])
        assert sorted(positions.tolist()) == list(range(len(some)))
        assert torch.equal(torch.cat([b.x for b in batches]), digits.rows.x[kept][positions])
