import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from lethe.evaluation.feature_level.linear_probe import SHARES, linear_probe, rows_per_class
from lethe.evaluation.feature_level.results import LinearProbe
from lethe.evaluation.feature_level.sampling import balanced

FORGOTTEN = 3


def probe(captured, **named) -> LinearProbe:
    train, held_out = captured
    return linear_probe(
        train.by_layer["features"],
        train.labels,
        held_out.by_layer["features"],
        held_out.labels,
        forgotten=[FORGOTTEN],
        **named,
    )


def clusters(per_class: int, *, classes: int = 3, seed: int = 0, spread: float = 0.1):
    labels = torch.arange(classes).repeat(per_class)
    noise = torch.randn(len(labels), classes, generator=torch.Generator().manual_seed(seed))
    return torch.eye(classes)[labels] + spread * noise, labels


def test_a_head_only_edit_is_seen_through(captured):
    for share in SHARES:
        original, edited = (
            probe(captured[name], share=share) for name in ("original", "head_only")
        )
        assert edited == original
        assert edited.forgotten.mean > 0.9
        assert edited.forgotten.count == 38


def test_a_network_that_never_learnt_recovers_less(captured):
    original, retrained, fresh = (
        probe(captured[name]).forgotten.mean for name in ("original", "retrained", "fresh")
    )
    assert fresh < retrained < original
    assert fresh < original - 0.15


def test_features_without_the_class_give_chance_at_best():
    """Rows of classes 1 and 2 lie in the same place."""
    features, labels = clusters(60)
    features[labels == 2] = features[labels == 1].roll(1, 0)
    found = linear_probe(features, labels, features, labels, forgotten=[2], share=0.5)
    assert found.forgotten.mean < 0.7
    assert found.retained.mean > 0.7


def test_counts_are_those_of_the_sample():
    features, labels = clusters(50)
    found = linear_probe(
        features, labels, features[:7], labels[:7], forgotten=[0], share=0.1, seeds=(4, 5)
    )
    assert (found.rows, found.classes, found.repeats, found.share) == (15, 3, 2, 0.1)
    assert (found.forgotten.count, found.retained.count) == (3, 4)
    assert LinearProbe.model_validate_json(found.model_dump_json()) == found


def test_it_is_logistic_regression_on_standardised_features():
    features, labels = clusters(30, spread=1.0)
    features = features * torch.tensor([1.0, 50.0, 0.01]) + 9
    held_out, truth = clusters(20, seed=1, spread=1.0)
    held_out = held_out * torch.tensor([1.0, 50.0, 0.01]) + 9
    found = linear_probe(features, labels, held_out, truth, forgotten=[1], share=0.2, seeds=(7,))
    rows = balanced(labels, 6, seed=7)
    mean, std = features[rows].mean(0), features[rows].std(0, unbiased=False)
    head = LogisticRegression().fit((features[rows] - mean) / std, labels[rows])
    right = torch.from_numpy(head.predict((held_out - mean) / std)) == truth
    assert found.forgotten.mean == pytest.approx(right[truth == 1].double().mean().item())
    assert found.retained.mean == pytest.approx(right[truth != 1].double().mean().item())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-1, 4), max_size=60), st.integers(1, 6), st.integers(0, 9))
def test_the_sample_is_balanced_and_depends_on_labels_and_seed_alone(labels, per_class, seed):
    given_labels = torch.tensor(labels, dtype=torch.int64)
    rows = balanced(given_labels, per_class, seed=seed)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert torch.equal(rows, balanced(given_labels, per_class, seed=seed))
    for label in range(5):
        chosen = int((given_labels[rows] == label).sum())
        assert chosen == min(per_class, labels.count(label))
    assert -1 not in given_labels[rows]


def test_at_least_two_rows_of_a_class_and_the_share_of_all_that_there_were():
    labels = torch.arange(10).repeat(10)
    assert rows_per_class(labels, 0.02) == 2
    assert rows_per_class(labels, 0.5) == 5
    assert rows_per_class(labels, 0.02, total=5_000) == 10
    features, labels = clusters(50)
    found = linear_probe(features, labels, features, labels, forgotten=[0], total=1_000, share=0.06)
    assert found.rows == 60


def test_nothing_depends_on_or_touches_the_global_random_state(captured):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = probe(captured["fresh"], seeds=(0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert probe(captured["fresh"], seeds=(0, 1)) == one
    assert probe(captured["fresh"], seeds=(2, 3)) != one


def test_rows_that_nobody_could_learn_are_not_counted():
    features, labels = clusters(20)
    only = labels != 2
    truth = labels.clone()
    truth[:3] = -1
    found = linear_probe(features[only], labels[only], features, truth, forgotten=[2])
    assert found.forgotten is None
    assert found.retained.count == int(((truth == 0) | (truth == 1)).sum())


def test_what_cannot_be_measured_is_none():
    features, labels = clusters(10)
    one = labels == 0
    assert linear_probe(features[one], labels[one], features, labels, forgotten=[0]) is None
    none = torch.full_like(labels, -1)
    assert linear_probe(features, none, features, labels, forgotten=[0]) is None
    assert linear_probe(features, labels, features, none, forgotten=[0]) is None
    broken = features.clone()
    broken[0, 0] = torch.nan
    assert linear_probe(broken, labels, features, labels, forgotten=[0]) is None
    assert linear_probe(features, labels, broken, labels, forgotten=[0]) is None


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.1}, {"seeds": ()}])
def test_settings_that_make_no_sense_are_refused(wrong):
    features, labels = clusters(10)
    with pytest.raises(ValueError, match="share"):
        linear_probe(features, labels, features, labels, forgotten=[0], **wrong)
