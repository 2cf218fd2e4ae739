import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.data import vocabulary
from lethe.data.label_tally import LabelTally
from lethe.data.matching import Matcher
from lethe.data.selection import Selection
from lethe.data.union import AnyOf
from lethe.data.vocabulary import Vocabulary

QUICK = settings(max_examples=50, deadline=None)
LABELS, PEOPLE, IDS = list("abc"), ["p", "q", "r"], [f"s{i}" for i in range(6)]


def batch(rows):
    return pa.record_batch(
        {
            name: pa.array([row[i] for row in rows], pa.string())
            for i, name in enumerate(("sample_id", "subject_id", "label"))
        }
    )


tables = st.lists(
    st.tuples(
        st.sampled_from(IDS), st.sampled_from([*PEOPLE, None]), st.sampled_from([*LABELS, "z"])
    ),
    max_size=20,
).map(batch)


def some(values):
    return st.none() | st.lists(st.sampled_from([*values, "absent"])).map(tuple)


parts = st.builds(Selection, classes=some(LABELS), subjects=some(PEOPLE), samples=some(IDS))
chosen = st.lists(
    st.none() | parts | st.lists(parts, max_size=4).map(lambda p: AnyOf(parts=tuple(p))),
    max_size=8,
)


def belongs(row, selection):
    if selection is None:
        return True
    if isinstance(selection, AnyOf):
        return any(belongs(row, part) for part in selection.parts)
    lists = selection.lists()
    return bool(lists) and all(row[column] in values for column, values in lists.items())


@QUICK
@given(st.lists(tables, min_size=1, max_size=3), chosen)
def test_pairs_are_those_of_comparing_every_row_with_every_selection(batches, selections):
    matcher = Matcher(selections)
    for rows in batches:
        expected = [
            (at, owner)
            for at, row in enumerate(rows.to_pylist())
            for owner, one in enumerate(selections)
            if belongs(row, one)
        ]
        found = matcher.pairs(rows)
        assert list(zip(*(array.tolist() for array in found), strict=True)) == expected
        met = {at for at, _ in expected}
        assert matcher.mask(rows).tolist() == [at in met for at in range(rows.num_rows)]


@QUICK
@given(tables, chosen)
def test_ids_are_met_whether_or_not_the_rest_of_a_selection_matches(rows, selections):
    matcher = Matcher(selections)
    matcher.mask(rows)
    for column in ("sample_id", "subject_id", "label"):
        there = set(rows[column].to_pylist())
        wanted = {
            value
            for one in selections
            for part in (one.parts if isinstance(one, AnyOf) else [one] if one else [])
            for value in part.lists().get(column, ())
        }
        of_column = matcher.vocabularies[column]
        assert len(of_column) == len(wanted)
        assert of_column.missing == of_column.lacks(wanted) == len(wanted - there)


@QUICK
@given(tables, chosen)
def test_rows_are_counted_per_selection_and_label(rows, selections):
    matcher, tally = Matcher(selections), LabelTally(len(selections))
    for piece in (rows.slice(0, 7), rows.slice(7)):
        tally.add(piece, *matcher.pairs(piece))
    counted, shares = tally.totals()
    listed = rows.to_pylist()
    assert tally.total == len(listed)
    for at, one in enumerate(selections):
        mine = [row["label"] for row in listed if belongs(row, one)]
        every = [row["label"] for row in listed]
        assert counted[at] == len(mine)
        expected = max((mine.count(label) / every.count(label) for label in mine), default=0)
        assert shares[at] == pytest.approx(expected)


@pytest.mark.parametrize("values_per_row", [0, 10**6])
def test_both_ways_to_look_values_up_find_the_same(monkeypatch, values_per_row):
    monkeypatch.setattr(vocabulary, "VALUES_PER_ROW", values_per_row)
    wanted = Vocabulary("sample_id", ["x", "s1", "s1", "y"])
    rows = pa.record_batch({"sample_id": pa.array(["y", None, "s1", "no", "y"], pa.string())})
    assert wanted.look_up(rows).tolist() == [2, -1, 1, -1, 2]
    assert (len(wanted), wanted.missing, wanted.lacks(["x", "y", "x"])) == (3, 1, 1)


def test_a_column_that_is_not_there_has_no_value():
    wanted = Vocabulary("subject_id", ["p"])
    rows = pa.record_batch({"sample_id": pa.array(["s"], pa.string())})
    assert wanted.look_up(rows).tolist() == [-1]
    assert wanted.missing == 1
