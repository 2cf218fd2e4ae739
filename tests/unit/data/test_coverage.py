import pyarrow as pa
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from lethe.data.coverage import covered
from lethe.data.matching import Matcher
from lethe.data.selection import Selection
from lethe.data.union import AnyOf

LABELS, PEOPLE, IDS = list("abc"), ["p", "q"], ["s1", "s2", "s3"]

tables = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from([*PEOPLE, None]), st.sampled_from(LABELS)),
    max_size=20,
).map(
    lambda rows: pa.record_batch(
        {
            name: pa.array([row[i] for row in rows], pa.string())
            for i, name in enumerate(("sample_id", "subject_id", "label"))
        }
    )
)


def some(values):
    return st.none() | st.lists(st.sampled_from(values), min_size=1).map(tuple)


selections = st.builds(
    Selection, classes=some(LABELS), subjects=some(PEOPLE), samples=some(IDS)
).filter(lambda one: one != Selection())
unions = st.lists(selections, min_size=1, max_size=3).map(lambda parts: AnyOf(parts=tuple(parts)))


@settings(max_examples=120, deadline=None)
@given(tables, selections | unions, st.lists(selections | unions, max_size=6))
def test_what_is_covered_selects_no_row_that_was_not_selected_before(rows, wanted, earlier):
    is_covered = covered(wanted, earlier)
    event(f"covered: {is_covered}")
    if is_covered:
        before = Matcher(earlier).mask(rows)
        now = Matcher([wanted]).mask(rows)
        assert not (now & ~before).any()


@settings(max_examples=40, deadline=None)
@given(selections | unions, st.lists(selections | unions, max_size=4))
def test_what_was_asked_for_word_for_word_is_covered(wanted, others):
    assert covered(wanted, [*others, wanted])


CLASSES_AB = Selection(classes=("a", "b"))


@pytest.mark.parametrize(
    ("wanted", "earlier", "answer"),
    [
        (Selection(classes=("a",)), [CLASSES_AB], True),
        (CLASSES_AB, [Selection(classes=("a",))], False),
        (CLASSES_AB, [Selection(classes=("a",)), Selection(classes=("b", "c"))], True),
        (CLASSES_AB, [Selection(classes=("b",)), AnyOf(parts=(Selection(classes=("a",)),))], True),
        # A conjunction is covered by what covers one of its conditions.
        (Selection(classes=("a",), subjects=("p",)), [Selection(subjects=("p", "q"))], True),
        # What was forgotten of a class for one person is not the class.
        (Selection(classes=("a",)), [Selection(classes=("a",), subjects=("p",))], False),
        (Selection(subjects=("p",)), [Selection(classes=("a",), subjects=("p",))], False),
        # A class and a person of the same name are two things.
        (Selection(subjects=("a",)), [Selection(classes=("a",))], False),
        (AnyOf(parts=(Selection(classes=("a",)), Selection(samples=("s1",)))), [CLASSES_AB], False),
        (Selection(classes=("a",)), [], False),
        # All of a data set: nobody can say what it holds by now.
        (None, [CLASSES_AB], False),
    ],
)
def test_it_is_judged_by_what_is_named(wanted, earlier, answer):
    assert covered(wanted, earlier) is answer
