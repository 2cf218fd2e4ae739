import logging
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from lethe.deletion.answers.announce import announcer, final_for_duplicates
from lethe.deletion.ledger.types import Move
from lethe.deletion.states import ANSWERED, MOVES, State
from lethe.deletion.tickets.opendsr_reply import status_word

STEPS = [(None, State.RECEIVED)] + [(a, b) for a, after in MOVES.items() for b in sorted(after)]
FILED = {State.APPROVED, State.AWAITING_APPROVAL, State.HELD, State.DUPLICATE}
ANSWER = {"issues": "github", "desk": "jira", "removed": "jira"}


@pytest.fixture
def announce(policy, settings, entry):
    def tell(source, before, after, *, later=0, **fields):
        asked = entry(source, after, **fields)
        moved = Move(asked.updated_at + timedelta(seconds=later), "intake:x", before, after)
        return announcer(policy, settings)(asked, moved)

    return tell


@pytest.mark.parametrize("source", ["issues", "desk", "removed", "silent", "portal", "bus", "cli"])
@pytest.mark.parametrize(("before", "after"), STEPS)
def test_a_ticket_is_answered_when_it_is_filed_and_when_it_has_ended(
    announce, source, before, after
):
    letters = [x for x in announce(source, before, after) if x.kind in {"github", "jira"}]
    wanted = after in ANSWERED or (before == State.RECEIVED and after in FILED)
    kind = ANSWER.get(source)
    assert [x.kind for x in letters] == ([kind] if kind and wanted else [])


@pytest.mark.parametrize(("before", "after"), STEPS)
def test_a_controller_is_called_back_when_the_word_changes(announce, before, after):
    letters = [x for x in announce("controller", before, after) if x.kind == "opendsr"]
    changed = before is not None and status_word(before) != status_word(after)
    assert len(letters) == (2 if changed else 0)
    assert len({x.key for x in letters}) == len(letters)


@pytest.mark.parametrize(("before", "after"), STEPS)
def test_targets_are_told_of_the_states_that_they_want(announce, before, after):
    letters = [x for x in announce("portal", before, after) if x.kind == "webhook"]
    assert len(letters) == (2 if after in ANSWERED else 1)
    assert {x.payload["body"]["type"] for x in letters} == {f"lethe.request.{after}"}


@pytest.mark.parametrize(("before", "after"), STEPS)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_run_is_triggered_for_what_is_approved_and_may_not_wait(announce, before, after, at_once):
    letters = [x for x in announce("cli", before, after, at_once=at_once) if x.kind == "trigger"]
    wanted = at_once and after == State.APPROVED
    assert [dict(x.payload) for x in letters] == (
        [{"request_id": "req-0123456789ab"}] if wanted else []
    )


@pytest.mark.parametrize(("before", "after"), STEPS)
def test_duplicates_are_owed_an_answer_when_their_original_was_carried_out_or_failed(
    announce, before, after
):
    wanted = after in ANSWERED - {State.REJECTED, State.CANCELLED}
    # The operator's own source has no ticket, and still others may have asked for the same.
    letters = [x for x in announce("cli", before, after) if x.kind == "duplicates"]
    assert [dict(x.payload) for x in letters] == ([{"state": str(after)}] if wanted else [])


@pytest.mark.parametrize(("before", "after"), STEPS)
@pytest.mark.parametrize("source", ["issues", "desk", "controller", "cli"])
def test_the_same_move_makes_the_same_keys(announce, source, before, after):
    one, two = (announce(source, before, after, at_once=True) for _ in range(2))
    assert [x.key for x in one] == [x.key for x in two]
    assert max(Counter(x.key for x in one).values(), default=0) <= 1
    assert all(x.request_id == "req-0123456789ab" for x in one)


def test_a_ticket_is_told_once_that_it_failed_and_programs_each_time(announce):
    kinds = ("github", "webhook", "duplicates")
    first, second = (
        {x.key: x.kind for x in announce("issues", State.IN_PROGRESS, State.FAILED, later=n)}
        for n in (0, 5)
    )
    again = Counter(kind for key, kind in second.items() if key not in first)
    assert {kind: again[kind] for kind in kinds} == {"github": 0, "webhook": 2, "duplicates": 1}


@pytest.mark.parametrize(
    ("state", "close"),
    [
        (State.COMPLETED, "completed"),
        (State.PARTIAL, "completed"),
        (State.REJECTED, "not_planned"),
        (State.CANCELLED, None),
        (State.REFUSED, None),
        (State.FAILED, None),
    ],
)
def test_what_needs_a_person_stays_open(announce, state, close):
    before = next(a for a, after in MOVES.items() if state in after)
    (letter,) = (x for x in announce("issues", before, state) if x.kind == "github")
    assert letter.payload["close"] == close


def test_the_first_answer_closes_nothing(announce):
    (letter,) = (
        x for x in announce("issues", State.RECEIVED, State.APPROVED) if x.kind == "github"
    )
    assert letter.payload["close"] is None


def test_each_duplicate_is_answered_on_its_own_ticket(policy, settings, entry):
    original = entry("cli", State.COMPLETED)
    duplicates = [
        replace(one, request=one.request.model_copy(update={"id": f"req-{number}"}))
        for number, one in enumerate(
            entry(source, State.DUPLICATE, duplicate_of=original.id)
            for source in ("issues", "desk", "controller", "portal")
        )
    ]
    letters = final_for_duplicates(policy, settings, original, duplicates)
    assert [(x.kind, x.request_id) for x in letters] == [
        ("github", "req-0"),
        ("jira", "req-1"),
        ("opendsr", "req-2"),
        ("opendsr", "req-2"),
    ]
    assert letters[0].payload["close"] == "completed"
    assert {x.payload["state"] for x in letters[2:]} == {"completed"}
    again = final_for_duplicates(policy, settings, original, duplicates)
    assert [x.key for x in again] == [x.key for x in letters]


def test_a_fault_in_one_letter_neither_stops_the_move_nor_the_other_letters(
    policy, settings, entry, caplog
):
    asked = entry(
        "issues", State.COMPLETED, facts="no facts at all", reply={"repo": "r", "number": 1}
    )
    moved = Move(asked.updated_at, "worker", State.PROMOTED, State.COMPLETED)
    with caplog.at_level(logging.ERROR):
        letters = announcer(policy, settings)(asked, moved)
    assert {x.kind for x in letters} == {"duplicates"}
    assert "No letter answer for req-0123456789ab (AttributeError)." in caplog.messages
