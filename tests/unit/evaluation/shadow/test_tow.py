"""Distances in accuracy, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lethe.evaluation.results import Accuracy, Partition
from lethe.evaluation.shadow.tow import Accuracies, average_gap, tow, tow_mia

SHARES = st.floats(0, 1)
MODELS = st.builds(Accuracies, forget=SHARES, retained=SHARES, held_out=SHARES, mia=SHARES)
UNLEARNED = Accuracies(forget=0.1, retained=0.9, held_out=0.8, mia=0.75)
RETRAINED = Accuracies(forget=0.0, retained=1.0, held_out=0.9, mia=1.0)


def test_distances_by_hand():
    assert tow(UNLEARNED, RETRAINED) == pytest.approx(0.9**3)
    assert tow_mia(UNLEARNED, RETRAINED) == pytest.approx(0.75 * 0.9 * 0.9)
    assert average_gap(UNLEARNED, RETRAINED) == pytest.approx((0.1 + 0.1 + 0.1 + 0.25) / 4)
    bare = [model.model_copy(update={"mia": None}) for model in (UNLEARNED, RETRAINED)]
    assert average_gap(*bare) == pytest.approx(0.1)
    assert tow(*bare) == tow(UNLEARNED, RETRAINED)


@given(MODELS, MODELS)
def test_the_retrained_model_is_best_and_distance_has_no_direction(one, other):
    assert (tow(one, one), tow_mia(one, one), average_gap(one, one)) == (1, 1, 0)
    for distance in (tow, tow_mia, average_gap):
        assert 0 <= distance(one, other) <= 1
        assert distance(one, other) == distance(other, one)


def test_a_model_that_unlearned_nothing_or_everything_is_worst():
    nothing = RETRAINED.model_copy(update={"forget": 1.0, "mia": 0.0})
    assert (tow(nothing, RETRAINED), tow_mia(nothing, RETRAINED)) == (0, 0)
    everything = Accuracies(forget=0, retained=0, held_out=0, mia=1)
    assert tow(everything, RETRAINED) == 0


def test_an_attack_on_one_model_only_is_refused():
    bare = RETRAINED.model_copy(update={"mia": None})
    for distance in (tow_mia, average_gap):
        for pair in ((UNLEARNED, bare), (bare, UNLEARNED)):
            with pytest.raises(ValueError, match="`mia` was not measured for both"):
                distance(*pair)
    with pytest.raises(ValueError, match="`mia`"):
        tow_mia(bare, bare)


def test_percentages_are_refused():
    with pytest.raises(ValidationError):
        Accuracies(forget=0.0, retained=98.5, held_out=94.0)


def test_accuracies_of_an_evaluation():
    partition = Partition(
        forget_train=Accuracy.of(1, 10),
        forget_held_out=Accuracy.of(5, 10),
        retained_train=Accuracy.of(9, 10),
        retained_held_out=Accuracy.of(8, 10),
    )
    assert Accuracies.of(partition, mia=0.75) == UNLEARNED
    with pytest.raises(ValueError, match="Not measured: retained_train, retained_held_out"):
        Accuracies.of(Partition(forget_train=Accuracy.of(1, 10)))
