"""A table of facts and the ladder that follows from them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.choosing import RETRAIN, Facts, choose, chosen_methods, outline
from lethe.errors import MethodError
from lethe.unlearning.method import load_method
from tasks.retraining import Retraining


def facts(kind="class", **changes):
    known = {"rows": 125, "total": 1258, "classes_left": 9}
    there = dict.fromkeys(("card", "means", "retained", "recipe"), True)
    return Facts(kind, **known | there | changes)


NOTHING = dict.fromkeys(("card", "means", "retained", "recipe"), False)
TABLE = [
    ("class", {}, ["pte", "class_direction", "delete", "retrain"]),
    ("class", {"card": False}, ["pte", "class_direction", "delete", "retrain"]),
    ("class", {"means": False}, ["pte", "delete", "retrain"]),
    ("class", {"recipe": False}, ["pte", "class_direction", "delete", "imu"]),
    ("class", {"retained": False}, ["pte", "class_direction", "delete", "imu"]),
    ("class", NOTHING, ["pte", "delete", "imu"]),
    ("subject", {}, ["retrain", "calibrated"]),
    ("subject", {"card": False}, ["retrain"]),
    ("subject", {"recipe": False}, ["calibrated", "l2ul"]),
    ("subject", NOTHING, ["l2ul"]),
    ("samples", {}, ["retrain", "calibrated"]),
    ("samples", {"card": False}, ["retrain"]),
    ("samples", {"retained": False}, ["calibrated", "l2ul"]),
    ("samples", NOTHING, ["l2ul"]),
]
ANY = st.builds(
    Facts,
    kind=st.sampled_from(["class", "subject", "samples"]),
    rows=st.integers(1, 10**9),
    total=st.integers(1, 10**9),
    classes_left=st.integers(1, 10**4),
    card=st.booleans(),
    means=st.booleans(),
    retained=st.booleans(),
    recipe=st.booleans(),
)


@pytest.mark.parametrize(("kind", "changes", "methods"), TABLE)
def test_facts_lead_to_this_ladder(kind, changes, methods):
    assert [rung.method for rung in choose(facts(kind, **changes)).rungs] == methods


@settings(deadline=None)  # the first one imports the methods
@given(ANY)
def test_every_ladder_has_a_rung_that_can_do_it_and_says_why_of_every_method(known):
    ladder = choose(known)
    assert ladder.rungs
    both = [*ladder.rungs, *ladder.left_out]
    there = known.card or known.means
    assert {one.method for one in both} == {word.partition(",")[0] for word in outline(known.kind)}
    assert all(one.because for one in both)
    for rung in ladder.rungs:
        method = Retraining() if rung.method == RETRAIN else load_method(rung.method)
        assert known.kind in method.forgets
        assert method.needs != "stored_statistics" or there
        assert method.needs != "retain" or (known.retained and known.recipe)


@given(ANY)
def test_the_same_facts_lead_to_the_same_ladder(known):
    assert choose(known) == choose(Facts(**vars(known)))


def test_a_method_that_is_left_out_says_what_it_lacks():
    (left,) = choose(facts("class")).left_out
    assert (left.method, left.because) == ("imu", "it can be retrained instead")
    said = {one.method: one.because for one in choose(facts("subject", **NOTHING)).left_out}
    assert said["retrain"] == (
        "it is not recorded how the model was trained and "
        "what was forgotten before cannot be left out of the retained rows"
    )


@pytest.mark.parametrize(
    ("changes", "words"), [({"rows": 0}, "no training rows"), ({"classes_left": 0}, "no class")]
)
def test_nothing_fits_where_there_is_nothing_to_do(changes, words):
    with pytest.raises(MethodError, match=rf"No method fits: .*{words}.*Nothing was changed"):
        choose(facts(**changes))


def test_the_outline_says_on_what_each_step_depends():
    *edits, last = outline("class")
    assert edits == [
        "pte",
        "class_direction, if the model's training card has means of its features",
        "delete",
        "imu, if it cannot be retrained",
    ]
    assert last == (
        "retrain, if it is recorded how the model was trained and its retained rows may be "
        "learned again"
    )


def test_every_method_of_a_ladder_is_installed():
    for name in chosen_methods():
        assert name == RETRAIN or load_method(name).name == name


def test_the_share_is_noted():
    assert facts(rows=1, total=4).noted()["share"] == 0.25
