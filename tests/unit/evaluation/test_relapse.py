"""Earlier forget sets, measured again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.evaluation.gates import EarlierSet, GateThresholds, relapse_gate, worst_relapse
from lethe.evaluation.results import Accuracy

QUICK = settings(max_examples=30, deadline=None)
DEFAULT = GateThresholds()


def earlier(before, after, count, *, whole_classes=True):
    return EarlierSet(
        before=Accuracy.of(before, count),
        after=Accuracy.of(after, count),
        whole_classes=whole_classes,
    )


def gate(*sets, unmeasured=0, **thresholds):
    return worst_relapse(sets, GateThresholds(**thresholds), unmeasured=unmeasured)


def test_without_an_earlier_set_there_is_no_gate():
    assert gate() is None


def test_sets_that_cannot_be_measured_again_neither_pass_nor_fail():
    found = gate(unmeasured=2)
    assert (found.name, found.measured, found.passed) == ("relapse", None, None)
    assert "None of the 2 earlier" in found.words


@pytest.mark.parametrize(
    ("before", "after", "passed"),
    [
        (0, 0, True),
        (0, 1, True),  # exactly the one per cent that both thresholds allow
        (0, 2, False),
        (1, 1, True),
        (1, 2, False),  # rises by one point only, but above what may be left of a class
        (30, 30, True),  # the parent answers it already: the edit is not to blame
        (30, 31, False),
        (30, 5, True),
    ],
)
def test_whole_classes_stay_forgotten(before, after, passed):
    assert gate(earlier(before, after, 100)).passed is passed


@pytest.mark.parametrize(
    ("before", "after", "count", "passed"),
    [
        (5, 7, 10, True),  # two rows may be chance
        (5, 8, 10, False),
        (5, 2, 10, True),
        (900, 910, 1000, True),
        (900, 911, 1000, False),
    ],
)
def test_single_rows_may_rise_by_two_rows_or_the_threshold(before, after, count, passed):
    assert gate(earlier(before, after, count, whole_classes=False)).passed is passed


def test_the_worst_set_is_given_with_its_figures_and_the_number_of_sets():
    found = gate(
        earlier(0, 0, 50),
        earlier(0, 20, 50),
        earlier(40, 45, 50, whole_classes=False),
        unmeasured=1,
    )
    assert found.passed is False
    assert found.measured == 0.4
    assert found.threshold == DEFAULT.max_relapse
    for words in ("40.0 % of 50 rows", "0.0 % by the parent", "a rise of 40.0 points"):
        assert words in found.words
    assert "worst of 3 earlier forget sets" in found.words
    assert "1 could not be" in found.words


def test_a_set_that_fails_is_not_hidden_by_one_that_rose_more_and_may():
    # Two of three rows: 67 points, allowed; a class: 4 points, not allowed.
    found = gate(earlier(0, 2, 3, whole_classes=False), earlier(0, 2, 50))
    assert found.passed is False
    assert "of 50 rows" in found.words


def test_the_threshold_is_a_setting():
    strict, lenient = {"max_relapse": 0.0}, {"max_relapse": 0.2, "max_forget_accuracy": 0.2}
    assert gate(earlier(0, 1, 100), **strict).passed is False
    assert gate(earlier(0, 20, 100), **lenient).passed is True


def test_figures_of_different_rows_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        relapse_gate("relapse", Accuracy.of(0, 10), Accuracy.of(0, 11), 0.01)


sets = st.integers(1, 60).flatmap(
    lambda count: st.builds(
        earlier,
        st.integers(0, count),
        st.integers(0, count),
        st.just(count),
        whole_classes=st.booleans(),
    )
)


@QUICK
@given(st.lists(sets, min_size=1, max_size=5))
def test_the_gate_passes_exactly_when_every_set_does(found):
    every = [gate(one) for one in found]
    together = gate(*found)
    assert together.passed is all(one.passed for one in every)
    assert together.passed is (together.measured <= together.threshold)
    assert (together.measured, together.threshold) in {
        (one.measured, one.threshold) for one in every
    }
