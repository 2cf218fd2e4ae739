"""People and single rows: like never seen is the aim, and beyond it is a failure too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.evaluation.feature_level.readings import FeatureLevel, Reading, limit_of
from lethe.evaluation.gates import GateThresholds, check_gates
from lethe.evaluation.membership import Membership
from lethe.evaluation.never_seen import never_seen
from lethe.evaluation.results import Accuracy, Evaluation, MembershipSides, Partition
from lethe.evaluation.verdict import Verdict, decide

DEFAULT = GateThresholds()


def area(auc, width=0.02):
    return Membership(
        members=500, non_members=500, auc=auc, low=max(0, auc - width), high=min(1, auc + width),
        tpr_at_01_percent=None, tpr_at_1_percent=0.1, advantage=0.1,
    )  # fmt: skip


def person(before, after, reference=None, *, right=(97, 97, None), features=None):
    sides = [
        Partition(
            forget_train=Accuracy.of(share, 100),
            forget_held_out=Accuracy.of(90, 100),
            retained_held_out=Accuracy.of(900, 1000),
        )
        if share is not None
        else None
        for share in right
    ]
    return Evaluation(
        classes=("a", "b"),
        forgotten=(),
        before=sides[0],
        after=sides[1],
        reference=sides[2],
        membership=MembershipSides(
            before=area(before), after=area(after), reference=reference and area(reference)
        ),
        features=features,
    )


def gates(evaluation, **thresholds):
    return {g.name: g for g in check_gates(evaluation, GateThresholds(**thresholds))}


def test_unchanged_is_refused_and_like_never_seen_passes():
    assert decide(person(0.65, 0.65), DEFAULT).verdict is Verdict.REFUSED
    assert decide(person(0.65, 0.51), DEFAULT).verdict is Verdict.SUPPRESSED


def test_beyond_never_seen_is_refused():
    found = gates(person(0.65, 0.30))
    assert found["remembered"].passed
    assert found["overshoot"].passed is False
    assert found["overshoot"].measured == pytest.approx(0.2 / 0.15)


def test_the_retrained_network_is_the_target_where_there_is_one():
    # Rows of another day: a network that never saw them has 0.58.
    found = never_seen(person(0.70, 0.58, 0.58))
    assert found[0].position == 0
    assert never_seen(person(0.70, 0.58))[0].position == pytest.approx(0.4)


def test_accuracy_counts_against_a_retrained_network_alone():
    assert [one.name for one in never_seen(person(0.65, 0.5))] == ["membership"]
    names = [one.name for one in never_seen(person(0.65, 0.5, 0.5, right=(97, 97, 86)))]
    assert names == ["membership", "accuracy"]
    found = gates(person(0.65, 0.5, 0.5, right=(97, 97, 86)))
    assert found["remembered"].passed is False
    assert "By their accuracy" in found["remembered"].words
    assert gates(person(0.65, 0.5, 0.5, right=(97, 88, 86)))["remembered"].passed


def test_where_the_parent_hardly_tells_forgetting_is_not_shown():
    decision = decide(person(0.52, 0.50), DEFAULT)
    assert decision.refused
    assert "hardly tells these rows" in decision.reason


def test_a_network_rebuilt_without_the_rows_is_not_judged_by_them():
    assert decide(person(0.65, 0.65), DEFAULT, retrained=True).verdict is Verdict.RETRAINED


def inside(position, *, reference="retrained", names=("likeness", "feature_membership")):
    return FeatureLevel(
        reference=reference,
        readings=tuple(
            Reading(name=name, needs="forget_rows", original=1.0, successor=position, retrained=0.0)
            for name in names
        ),
    )


def test_a_person_is_erased_only_against_a_retrained_network():
    erased = decide(person(0.65, 0.5, 0.5, features=inside(0.1)), DEFAULT)
    assert (erased.verdict, erased.rule) == (Verdict.ERASED, "feature_level_passed")
    unclear = decide(person(0.65, 0.5, features=inside(0.1, reference="fresh")), DEFAULT)
    assert (unclear.verdict, unclear.rule) == (Verdict.SUPPRESSED, "feature_level_unclear")


def test_one_reading_above_its_limit_is_remembered():
    found = decide(person(0.65, 0.5, 0.5, features=inside(0.9)), DEFAULT)
    assert found.rule == "feature_level_remembers"
    # Likeness alone says that layers stayed as they were only near 1.
    halfway = decide(person(0.65, 0.5, 0.5, features=inside(0.7, names=("likeness",))), DEFAULT)
    assert halfway.rule == "feature_level_unclear"
    assert limit_of("likeness", 0.5) == 0.8
    assert limit_of("relearn", 0.5) == 0.5


def test_who_asks_for_erased_gets_no_less():
    strict = GateThresholds(least_verdict="erased")
    found = decide(person(0.65, 0.5, 0.5, features=inside(0.9)), strict)
    assert (found.verdict, found.rule) == (Verdict.REFUSED, "too_little")
    assert not decide(person(0.65, 0.5, 0.5, features=inside(0.1)), strict).refused


def test_what_was_not_measured_is_in_the_list_of_what_is_not_covered():
    assert "not measured" in decide(person(0.65, 0.5), DEFAULT).not_covered[0]
    measured = decide(person(0.65, 0.5, 0.5, features=inside(0.1)), DEFAULT)
    assert not any("feature level was not measured" in gap for gap in measured.not_covered)


@given(
    original=st.floats(0, 1), reference=st.floats(0, 1), at=st.floats(-1, 2), noise=st.floats(0, 1)
)
def test_positions_are_linear_between_reference_and_original(original, reference, at, noise):
    successor = reference + at * (original - reference)
    one = Reading(
        name="x", needs="forget_rows", original=original, successor=successor,
        fresh=0.0, retrained=reference, noise=noise,
    )  # fmt: skip
    if original - reference <= max(0.05, 2 * noise):
        assert one.position is None
    else:
        assert one.position == pytest.approx(at, abs=1e-6)
