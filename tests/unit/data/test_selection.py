import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lethe.data.digest import SetDigest
from lethe.data.errors import EmptySelectionError
from lethe.data.selection import Selection, read_ids

LABELS, PEOPLE, IDS = "abc", ["p", "q", None], [f"s{i}" for i in range(6)]

tables = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from(PEOPLE), st.sampled_from(LABELS)), max_size=20
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
    Selection, classes=some(list(LABELS)), subjects=some(["p", "q"]), samples=some(IDS)
)


@given(tables, selections)
def test_a_conjunction_selects_the_intersection(rows, selection):
    expected = np.ones(rows.num_rows, dtype=bool)
    for name in ("classes", "subjects", "samples"):
        if (values := getattr(selection, name)) is not None:
            expected &= Selection(**{name: values}).mask(rows)
    assert selection.mask(rows).tolist() == expected.tolist()


@given(tables, selections)
def test_the_mask_is_membership(rows, selection):
    wanted = (
        (selection.samples, "sample_id"),
        (selection.subjects, "subject_id"),
        (selection.classes, "label"),
    )
    expected = [
        all(values is None or row[name] in values for values, name in wanted)
        for row in rows.to_pylist()
    ]
    assert selection.mask(rows).tolist() == expected


@given(selections)
def test_selections_survive_json(selection):
    assert Selection.model_validate_json(selection.model_dump_json()) == selection


def test_the_kind_is_that_of_the_narrowest_list():
    assert Selection(classes=("a",)).kind == "class"
    assert Selection(classes=("a",), subjects=("p",)).kind == "subject"
    assert Selection(subjects=("p",), samples=("s",)).kind == "samples"


def test_ids_are_not_shown():
    text = repr(Selection(classes=("a",), subjects=("Ada",), samples=("Bob",)))
    assert "Ada" not in text
    assert "Bob" not in text
    assert "'a'" in text


@pytest.mark.parametrize("values", [{"classes": "a"}, {"classes": (1,)}, {"other": ("a",)}])
def test_what_is_no_selection_is_refused(values):
    with pytest.raises(ValidationError):
        Selection(**values)


@pytest.mark.parametrize("selection", [Selection(), Selection(classes=()), Selection(samples=())])
def test_a_selection_of_nothing_is_refused(selection):
    with pytest.raises(EmptySelectionError, match="names nothing"):
        selection.check()


def test_ids_are_read_one_per_line(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes("\ufeffs1\r\n\r\n  s2  \ns1\nperson 7\n".encode())
    assert read_ids(path) == ("s1", "s2", "person 7")


@pytest.mark.parametrize("content", [b"", b"\n  \n", b"\xff\xfe\xff"])
def test_a_file_without_ids_is_refused_without_its_name(tmp_path, content):
    path = tmp_path / "ada.txt"
    path.write_bytes(content)
    with pytest.raises(EmptySelectionError) as caught:
        read_ids(path)
    assert "ada" not in str(caught.value)


def digest(ids, key=b"k"):
    found = SetDigest(key)
    found.update(ids)
    return found.hexdigest()


@given(st.lists(st.text()), st.randoms())
def test_the_digest_does_not_depend_on_order_or_portions(ids, random):
    shuffled = random.sample(ids, len(ids))
    portions = SetDigest(b"k")
    for one in shuffled:
        portions.update([one])
    assert digest(ids) == digest(shuffled) == portions.hexdigest()


@given(st.lists(st.text()), st.text())
def test_the_digest_depends_on_every_id_and_on_the_key(ids, extra):
    assert digest(ids) != digest([*ids, extra])
    assert digest(ids) != digest(ids, b"other")
    assert len(digest(ids)) == 64


def test_a_digest_needs_a_key():
    with pytest.raises(ValueError, match="plain hash"):
        SetDigest(b"")
