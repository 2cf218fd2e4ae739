import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lethe.data.errors import EmptySelectionError
from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.data.union import AnyOf, merge, parts_of

QUICK = settings(max_examples=40, deadline=None)
LABELS, PEOPLE, IDS = list("abc"), ["p", "q", "r"], [f"s{i}" for i in range(6)]

tables = st.lists(
    st.tuples(
        st.sampled_from(IDS), st.sampled_from([*PEOPLE, None]), st.sampled_from([*LABELS, "z"])
    ),
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
unions = st.lists(selections, min_size=1, max_size=8).map(lambda parts: AnyOf(parts=tuple(parts)))
several = st.lists(selections | unions, min_size=1, max_size=8)


def any_of(masks, count):
    return np.any([np.zeros(count, bool), *masks], axis=0).tolist()


@QUICK
@given(tables, several)
def test_the_union_selects_what_any_of_them_selects(rows, chosen):
    expected = any_of([part.mask(rows) for one in chosen for part in parts_of(one)], rows.num_rows)
    assert merge(chosen).mask(rows).tolist() == expected
    assert any_of([one.mask(rows) for one in chosen], rows.num_rows) == expected


@QUICK
@given(several, st.randoms())
def test_order_and_repetition_do_not_matter(chosen, random):
    shuffled = random.sample(chosen, len(chosen))
    merged = merge([*chosen, *chosen])
    assert merge([*shuffled, chosen[0]]) == merged
    assert merge([merged]) == merged


@QUICK
@given(several)
def test_everything_that_was_named_is_named_by_the_union(chosen):
    merged = merge(chosen)
    for name in ("classes", "subjects", "samples"):
        named = {value for one in chosen for value in getattr(one, name) or ()}
        assert set(getattr(merged, name) or ()) == named


@QUICK
@given(several)
def test_unions_survive_json_inside_a_forget_set(chosen):
    spec = ForgetSpec(dataset="data/x", selection=merge(chosen))
    assert ForgetSpec.model_validate_json(spec.model_dump_json()) == spec


def test_selections_of_one_shape_stay_a_plain_selection():
    people = [Selection(subjects=(f"p{i}",)) for i in range(1000)]
    merged = merge(people)
    assert isinstance(merged, Selection)
    assert (merged.kind, len(merged.subjects)) == ("subject", 1000)
    assert merge([Selection(classes=("b",)), Selection(classes=("a",))]).classes == ("a", "b")
    assert merge([Selection(samples=("s", "s"))]) == Selection(samples=("s", "s"))


def test_a_batch_of_all_shapes_has_one_part_per_shape():
    mixed = [
        selection
        for i in range(300)
        for selection in (
            Selection(classes=(LABELS[i % 3],)),
            Selection(subjects=(f"p{i}",)),
            Selection(samples=(f"s{i}",)),
            Selection(classes=("a",), subjects=(f"q{i}",)),
        )
    ]
    assert len(merge(mixed).parts) == 4


@QUICK
@given(st.lists(st.builds(Selection, classes=some(LABELS), subjects=some(PEOPLE)), max_size=30))
def test_conjunctions_that_differ_in_one_list_are_joined(chosen):
    pairs = [one for one in chosen if one.classes and one.subjects]
    if pairs:
        by_class = {frozenset(one.classes) for one in pairs}
        by_subject = {frozenset(one.subjects) for one in pairs}
        assert len(parts_of(merge(pairs))) <= min(len(by_class), len(by_subject))


CLASS, PERSON, BOTH, ROW = (
    Selection(classes=("a",)),
    Selection(subjects=("p",)),
    Selection(classes=("b",), subjects=("q",)),
    Selection(samples=("s",)),
)


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ((CLASS,), "class"),
        ((CLASS, Selection(classes=("b",))), "class"),
        ((PERSON, BOTH), "subject"),
        ((CLASS, PERSON), "samples"),
        ((CLASS, BOTH), "samples"),
        ((PERSON, ROW), "samples"),
        ((ROW, Selection(classes=("a",), samples=("t",))), "samples"),
    ],
)
def test_the_kind_of_a_mixture(parts, kind):
    assert AnyOf(parts=parts).kind == merge(parts).kind == kind


def test_columns_are_those_of_the_parts():
    assert AnyOf(parts=(ROW, CLASS)).columns() == ["sample_id", "label"]
    assert AnyOf(parts=(CLASS,)).subjects is None


def test_ids_are_not_shown():
    union = AnyOf(parts=(Selection(subjects=("Ada",)), Selection(samples=("Bob",)), CLASS))
    text = repr(union) + str(union) + repr(ForgetSpec(dataset="d", selection=union))
    assert "Ada" not in text
    assert "Bob" not in text
    assert "'a'" in text


def test_what_was_stored_before_there_were_unions_is_still_read():
    stored = '{"dataset": "data/x", "selection": {"classes": null, "samples": ["s"]}}'
    assert ForgetSpec.model_validate_json(stored).selection == Selection(samples=("s",))
    written = json.loads(ForgetSpec(dataset="data/x", selection=CLASS).model_dump_json())
    assert written["selection"] == {"classes": ["a"], "subjects": None, "samples": None}


@pytest.mark.parametrize("text", ['{"parts": 1}', '{"parts": [], "classes": ["a"]}', '{"x": []}'])
def test_what_is_neither_is_refused(text):
    with pytest.raises(ValidationError):
        ForgetSpec.model_validate_json(f'{{"dataset": "data/x", "selection": {text}}}')


@pytest.mark.parametrize(
    "chosen", [[], [AnyOf(parts=())], [CLASS, Selection()], [CLASS, Selection(samples=())]]
)
def test_a_union_with_a_part_that_names_nothing_is_refused(chosen):
    with pytest.raises(EmptySelectionError, match="Nothing was changed"):
        merge(chosen)
    parts = tuple(part for one in chosen for part in parts_of(one))
    with pytest.raises(EmptySelectionError):
        AnyOf(parts=parts).check()
