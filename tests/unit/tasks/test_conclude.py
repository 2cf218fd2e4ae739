"""How requests that failed together are taken apart."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.types import Entry, Facts
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from tasks.conclude import groups

# Of all that a desk and a finished run are, `groups` asks for the limit and for each one's facts.
DESK = SimpleNamespace(settings=SimpleNamespace(gates=SimpleNamespace(max_forget_accuracy=0.1)))
KINDS = {
    "class": {"classes": ("3",)},
    "subject": {"subjects": ("p-1",)},
    "samples": {"samples": ("s-1",)},
}


def entry(name, kind="class"):
    selection = None if kind == "whole" else Selection(**KINDS[kind])
    forget = ForgetSpec(dataset="data/digits", selection=selection)
    return Entry(
        DeletionRequest(id=name, model="digits@champion", forget=forget),
        State.IN_PROGRESS,
        reason=None,
        updated_at=datetime.now(UTC),
    )


def finished(**accuracies):
    return SimpleNamespace(facts_of=lambda name: Facts(forget_accuracy=accuracies.get(name)))


def test_mixed_kinds_are_told_apart_first():
    entries = [entry("a", "samples"), entry("b"), entry("c", "samples"), entry("d", "subject")]
    found = groups(entries, DESK, finished(a=0.9))
    assert sorted(map(sorted, found)) == [["a", "c"], ["b"], ["d"]]


def test_those_that_are_still_recognised_are_told_apart_from_the_others():
    entries = [entry(name) for name in "abcd"]
    assert groups(entries, DESK, finished(a=0.0, b=0.5, c=0.1, d=0.11)) == [["a", "c"], ["b", "d"]]


@pytest.mark.parametrize("done", [None, finished(), finished(a=0.9, b=0.9, c=0.9)])
def test_where_nothing_tells_them_apart_they_are_halved(done):
    assert groups([entry(name) for name in "abc"], DESK, done) == [["a"], ["b", "c"]]


@given(
    kinds=st.lists(st.sampled_from([*KINDS, "whole"]), min_size=2, max_size=12),
    accuracies=st.lists(st.none() | st.floats(0, 1), min_size=12, max_size=12),
    measured=st.booleans(),
)
def test_every_request_is_in_one_smaller_group(kinds, accuracies, measured):
    """Or it would be lost, done twice, or tried in the same batch for ever."""
    entries = [entry(f"r{n}", kind) for n, kind in enumerate(kinds)]
    names = [one.id for one in entries]
    done = finished(**dict(zip(names, accuracies, strict=False))) if measured else None
    found = groups(entries, DESK, done)
    assert sorted(name for group in found for name in group) == sorted(names)
    assert all(0 < len(group) < len(entries) for group in found)
