import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid

from lethe.evaluation.feature_level.class_means import (
    class_means,
    nearest_original_mean,
    nearest_own_mean,
)
from lethe.evaluation.feature_level.results import ClassMeans

FORGOTTEN = 3


def own(captured) -> ClassMeans:
    train, held_out = captured
    return nearest_own_mean(
        train.by_layer["features"],
        train.labels,
        held_out.by_layer["features"],
        held_out.labels,
        forgotten=[FORGOTTEN],
    )


def test_a_case_by_hand():
    features = torch.tensor([[0.0, 0], [2, 0], [10, 0], [10, 4], [99, 99]])
    labels = torch.tensor([0, 0, 1, 1, -1])  # means (1, 0) and (10, 2)
    means, classes = class_means(features, labels)
    assert means.tolist() == [[1, 0], [10, 2]]
    assert classes.tolist() == [0, 1]
    held_out = torch.tensor([[5.0, 0], [6, 0], [0, 0], [9, 9], [1, 1]])
    truth = torch.tensor([1, 1, 0, 2, -1])
    found = nearest_own_mean(features, labels, held_out, truth, forgotten=[1])
    assert (found.forgotten.correct, found.forgotten.count) == (1, 2)
    assert (found.retained.correct, found.retained.count) == (1, 1)
    assert (found.means, found.classes) == ("own", 2)
    assert ClassMeans.model_validate_json(found.model_dump_json()) == found
    original = nearest_original_mean(means, classes, held_out, truth, forgotten=[1])
    assert original == found.model_copy(update={"means": "original"})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 8), st.floats(-1e4, 1e4))
def test_it_is_the_nearest_centroid_classifier(seed, width, shift):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(4).repeat(6)
    features = torch.randn(24, width, generator=generator).double()
    held_out = torch.randn(24, width, generator=generator).double()
    answers = torch.from_numpy(NearestCentroid().fit(features, labels).predict(held_out))
    right = answers == labels
    found = nearest_own_mean(features + shift, labels, held_out + shift, labels, forgotten=[1, 2])
    gone = (labels == 1) | (labels == 2)
    assert found.forgotten.correct == int(right[gone].sum())
    assert found.retained.correct == int(right[~gone].sum())


def test_a_head_only_edit_is_seen_through(captured):
    assert own(captured["head_only"]) == own(captured["original"])
    assert own(captured["head_only"]).forgotten.share > 0.95
    train, _ = captured["original"]
    means, classes = class_means(train.by_layer["features"], train.labels)
    shares = {}
    for name, (_, held_out) in captured.items():
        mine = held_out.labels == FORGOTTEN  # no retained row is needed
        features = held_out.by_layer["features"][mine]
        found = nearest_original_mean(
            means, classes, features, held_out.labels[mine], forgotten=[FORGOTTEN]
        )
        assert found.retained is None
        shares[name] = found.forgotten.share
    assert shares["head_only"] == shares["original"] > 0.95
    assert max(shares["retrained"], shares["fresh"]) < 0.2


def test_an_untrained_network_has_no_such_clusters(captured):
    assert own(captured["fresh"]).forgotten.share < own(captured["original"]).forgotten.share


def test_features_that_moved_together_hide_from_the_originals_means(captured):
    train, held_out = captured["original"]
    features = held_out.by_layer["features"]
    means, classes = class_means(train.by_layer["features"], train.labels)
    moved = nearest_original_mean(
        means, classes, features.flip(1), held_out.labels, forgotten=[FORGOTTEN]
    )
    assert moved.forgotten.share < 0.2
    again = nearest_own_mean(
        train.by_layer["features"].flip(1),
        train.labels,
        features.flip(1),
        held_out.labels,
        forgotten=[FORGOTTEN],
    )
    assert again == own(captured["original"])


def test_what_cannot_be_measured_is_none():
    features, labels = torch.randn(4, 2), torch.tensor([0, 0, 1, 1])
    broken = features * torch.tensor([1.0, torch.inf])
    assert nearest_own_mean(features, labels * 0, features, labels, forgotten=[0]) is None
    assert nearest_own_mean(features, labels * 0 - 1, features, labels, forgotten=[0]) is None
    assert nearest_own_mean(broken, labels, features, labels, forgotten=[0]) is None
    assert nearest_own_mean(features, labels, broken, labels, forgotten=[0]) is None
    means, classes = class_means(features, labels)
    broken = means * torch.nan
    assert nearest_original_mean(broken, classes, features, labels, forgotten=[0]) is None
    found = nearest_original_mean(means, classes + 5, features, labels, forgotten=[0])
    assert found.forgotten is found.retained is None


def test_means_of_another_width_are_refused():
    with pytest.raises(ValueError, match="width"):
        nearest_original_mean(
            torch.eye(3), torch.arange(3), torch.randn(2, 4), torch.zeros(2), forgotten=[0]
        )
