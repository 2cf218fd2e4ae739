"""Which people a batch forgets, by fingerprints."""

from types import SimpleNamespace

from lethe.data.digest import subject_fingerprint
from lethe.data.selection import Selection
from lethe.data.union import merge
from lethe.keys import record_key
from tasks.people import fingerprints_of


def marks(tmp_path, *selections, whole):
    """The ids whose fingerprints are found."""
    file = tmp_path / "key"
    record = SimpleNamespace(
        forget=SimpleNamespace(
            spec=SimpleNamespace(selection=merge(selections) if selections else None)
        ),
        settings=SimpleNamespace(record_key_file=file),
    )
    known = {subject_fingerprint(record_key(file), one): one for one in "abc"}
    return [known[one] for one in fingerprints_of(record, whole=whole)]


def test_people_named_alone_are_forgotten_whole(tmp_path):
    one, other = Selection(subjects=("a",)), Selection(subjects=("b",))
    assert sorted(marks(tmp_path, one, other, whole=True)) == ["a", "b"]


def test_people_some_of_whose_rows_stay_are_not_whole(tmp_path):
    """What networks that never saw them say is no reference; their table goes all the same."""
    some, whole = Selection(subjects=("a",), classes=("3",)), Selection(subjects=("b",))
    assert marks(tmp_path, some, whole, whole=True) == ["b"]
    assert sorted(marks(tmp_path, some, whole, whole=False)) == ["a", "b"]


def test_requests_without_people_name_nobody(tmp_path):
    assert marks(tmp_path, Selection(samples=("r",)), whole=False) == []
    assert marks(tmp_path, whole=False) == []
