"""Approve, hold, release, cancel, reject, retry, extend, note: what people do with a request."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from ledger_tools import DAY, MINUTE, START, a_request, judged, states_of

from lethe.deletion.ledger.types import Facts, Outcome
from lethe.deletion.states import MOVES, State
from lethe.errors import RequestError

ONE = "req-1"


@pytest.fixture
def filed(ledger):
    """Files req-1, judged as the test wants it."""

    def file(state=State.APPROVED, **judgement):
        return ledger.file(a_request(id=ONE), judged(state, **judgement), actor="cli")

    return file


def ended(ledger, state):
    batch = ledger.claim("worker", lease=MINUTE, limit=1)
    ledger.conclude(batch, {ONE: Outcome(state, "why it ended")})


# Approval


def test_an_approval_approves(ledger, filed):
    filed(State.AWAITING_APPROVAL)
    entry = ledger.approve(ONE, actor="dpo")
    assert (entry.state, entry.approvals) == (State.APPROVED, ("dpo",))
    assert entry.history[-1].actor == "dpo"


def test_as_many_different_people_approve_as_the_policy_wants(ledger, filed):
    filed(State.AWAITING_APPROVAL, approvals_needed=2)
    assert ledger.approve(ONE, actor="dpo").state == State.AWAITING_APPROVAL
    assert ledger.approve(ONE, actor="dpo").state == State.AWAITING_APPROVAL
    entry = ledger.approve(ONE, actor="model-owner")
    assert (entry.state, entry.approvals) == (State.APPROVED, ("dpo", "model-owner"))
    assert [m.reason for m in entry.history[-2:]] == [
        "approved by dpo, 1 of 2",
        "approved by model-owner, 2 of 2",
    ]


@pytest.mark.parametrize("state", [State.APPROVED, State.HELD, State.REJECTED])
def test_only_what_waits_for_approval_is_approved(ledger, filed, state):
    before = filed(state)
    with pytest.raises(RequestError, match="left unchanged"):
        ledger.approve(ONE, actor="dpo")
    assert ledger.get(ONE) == before


def test_two_people_who_approve_at_the_same_time_both_count(ledger, filed):
    filed(State.AWAITING_APPROVAL, approvals_needed=8)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.approve(ONE, actor=f"person-{n}"), range(8)))
    entry = ledger.get(ONE)
    assert (entry.state, len(entry.approvals)) == (State.APPROVED, 8)


def test_an_approved_request_is_sent_to_a_person_when_its_share_turns_out_large(ledger, filed):
    filed()
    entry = ledger.require_approval(ONE, needed=2, reason="selects 7 % of it", actor="policy")
    assert (entry.state, entry.approvals_needed) == (State.AWAITING_APPROVAL, 2)
    assert entry.reason == "selects 7 % of it"


def test_what_a_person_approved_is_not_sent_to_a_person_again(ledger, filed):
    filed(State.AWAITING_APPROVAL)
    approved = ledger.approve(ONE, actor="dpo")
    assert ledger.require_approval(ONE, needed=1, reason="large", actor="policy") == approved


def test_what_is_being_carried_out_is_not_sent_to_a_person(ledger, filed):
    filed()
    ledger.claim("worker", lease=MINUTE, limit=1)
    with pytest.raises(RequestError, match="left unchanged"):
        ledger.require_approval(ONE, needed=1, reason="large", actor="policy")


# Hold and release


@pytest.mark.parametrize("state", [State.APPROVED, State.AWAITING_APPROVAL])
def test_a_release_leads_back_to_where_the_hold_found_it(ledger, filed, state):
    filed(state)
    held = ledger.hold(ONE, actor="dpo", reason="Litigation 2026-4")
    assert (held.state, held.held_from) == (State.HELD, state)
    assert held.reason == "Litigation 2026-4"
    released = ledger.release(ONE, actor="dpo")
    assert (released.state, released.held_from) == (state, None)


@pytest.mark.parametrize(("needed", "then"), [(0, State.APPROVED), (1, State.AWAITING_APPROVAL)])
def test_what_the_policy_held_goes_on_to_its_other_rules_when_released(ledger, filed, needed, then):
    assert filed(State.HELD, approvals_needed=needed).held_from == then
    assert ledger.release(ONE, actor="dpo").state == then


def test_a_held_request_is_not_carried_out(ledger, filed):
    filed()
    ledger.hold(ONE, actor="dpo", reason="wait")
    assert ledger.claim("worker", lease=MINUTE, limit=1) is None
    ledger.release(ONE, actor="dpo")
    assert ledger.claim("worker", lease=MINUTE, limit=1) is not None


def test_what_is_not_held_is_not_released(ledger, filed):
    before = filed()
    with pytest.raises(RequestError, match="not held"):
        ledger.release(ONE, actor="dpo")
    assert ledger.get(ONE) == before


# Cancel, reject, retry, move


@pytest.mark.parametrize("state", [State.APPROVED, State.AWAITING_APPROVAL, State.HELD])
def test_a_request_is_cancelled_before_it_is_begun(ledger, filed, state):
    filed(state)
    entry = ledger.cancel(ONE, actor="requester", reason="changed their mind")
    assert (entry.state, entry.held_from) == (State.CANCELLED, None)
    assert ledger.claim("worker", lease=MINUTE, limit=1) is None


def test_what_was_begun_is_not_cancelled(ledger, filed):
    filed()
    ledger.claim("worker", lease=MINUTE, limit=1)
    with pytest.raises(RequestError, match="cannot become cancelled"):
        ledger.cancel(ONE, actor="requester")
    assert ledger.get(ONE).state == State.IN_PROGRESS


def test_a_rejection_says_why(ledger, filed):
    filed(State.AWAITING_APPROVAL)
    entry = ledger.reject(ONE, actor="dpo", reason="identity not shown")
    assert (entry.state, entry.reason) == (State.REJECTED, "identity not shown")


@pytest.mark.parametrize("state", [State.REFUSED, State.FAILED])
def test_what_did_not_succeed_is_tried_again_in_another_batch(ledger, filed, state):
    filed()
    ended(ledger, state)
    first = ledger.get(ONE).batch_id
    assert ledger.retry(ONE, actor="operator").batch_id is None
    batch = ledger.claim("worker", lease=MINUTE, limit=1)
    assert (batch.attempt, batch.id == first) == (1, False)


def test_what_succeeded_is_not_tried_again(ledger, filed):
    filed()
    ended(ledger, State.REGISTERED)
    with pytest.raises(RequestError, match="left unchanged"):
        ledger.retry(ONE, actor="operator")


def test_a_registered_request_moves_on_to_its_end_with_its_facts(ledger, filed):
    filed()
    ended(ledger, State.REGISTERED)
    ledger.move(ONE, State.PROMOTED, actor="flow", facts=Facts(successor="digits/4"))
    ledger.move(ONE, State.ERASING, actor="flow", facts=Facts(rows=3))
    entry = ledger.move(ONE, State.COMPLETED, actor="flow", reason="done")
    assert entry.facts == Facts(successor="digits/4", rows=3)
    assert states_of(entry)[-3:] == [State.PROMOTED, State.ERASING, State.COMPLETED]


@pytest.mark.parametrize("to", State)
def test_no_move_by_hand_goes_beyond_the_table_or_around_claims_and_approvals(ledger, filed, to):
    before = filed(State.AWAITING_APPROVAL)
    if to in {State.REJECTED, State.HELD, State.CANCELLED}:
        assert ledger.move(ONE, to, actor="dpo").state == to
        return
    with pytest.raises(RequestError, match="left unchanged"):
        ledger.move(ONE, to, actor="dpo")
    assert ledger.get(ONE) == before
    assert to not in MOVES[before.state] or to == State.APPROVED


def test_nobody_begins_or_ends_work_without_a_batch(ledger, filed):
    filed()
    with pytest.raises(RequestError, match="claims"):
        ledger.move(ONE, State.IN_PROGRESS, actor="dpo")
    ledger.claim("worker", lease=MINUTE, limit=1)
    with pytest.raises(RequestError, match="left unchanged"):
        ledger.move(ONE, State.REGISTERED, actor="dpo")


# Deadlines


@pytest.fixture
def extendable(filed):
    return filed(due_at=START + 30 * DAY, extendable_to=START + 90 * DAY)


def test_a_deadline_is_moved_as_far_as_its_regulation_allows(ledger, extendable):
    entry = ledger.extend(ONE, START + 90 * DAY, actor="dpo", reason="many requests")
    assert (entry.due_at, entry.extended) == (START + 90 * DAY, True)
    assert entry.state == extendable.state
    assert "2027-02-19" in entry.history[-1].reason
    assert "many requests" in entry.history[-1].reason


@pytest.mark.parametrize(
    ("days", "why"), [(91, "allows none after"), (30, "must be later"), (3, "must be later")]
)
def test_a_deadline_is_moved_forward_only_and_not_too_far(ledger, extendable, days, why):
    with pytest.raises(RequestError, match=why):
        ledger.extend(ONE, START + days * DAY, actor="dpo", reason="because")
    assert ledger.get(ONE) == extendable


def test_a_deadline_is_moved_once(ledger, extendable):
    ledger.extend(ONE, START + 40 * DAY, actor="dpo", reason="because")
    with pytest.raises(RequestError, match="once"):
        ledger.extend(ONE, START + 50 * DAY, actor="dpo", reason="because")


def test_a_deadline_that_has_passed_is_not_moved(ledger, extendable, clock):
    clock.forward(31 * DAY)
    with pytest.raises(RequestError, match="passed"):
        ledger.extend(ONE, START + 60 * DAY, actor="dpo", reason="because")


def test_a_deadline_of_what_has_ended_is_not_moved(ledger, extendable):
    ledger.cancel(ONE, actor="dpo")
    with pytest.raises(RequestError, match="cancelled"):
        ledger.extend(ONE, START + 60 * DAY, actor="dpo", reason="because")


def test_without_an_extension_in_the_regulation_there_is_none(ledger, filed):
    filed()
    with pytest.raises(RequestError, match="regulation"):
        ledger.extend(ONE, START + 60 * DAY, actor="dpo", reason="because")


# Notes and facts


def test_a_note_is_a_line_of_history_and_moves_nothing(ledger, filed, clock):
    before = filed()
    clock.forward(MINUTE)
    entry = ledger.note(ONE, "asked the requester which data set", actor="dpo")
    assert entry.state == before.state
    assert entry.history[:-1] == before.history
    line = entry.history[-1]
    assert (line.at, line.actor, line.before, line.after) == (
        START + MINUTE,
        "dpo",
        State.APPROVED,
        State.APPROVED,
    )


def test_facts_are_added_to_and_never_emptied(ledger, filed):
    filed()
    ledger.set_facts(ONE, Facts(rows=3, share=0.25))
    entry = ledger.set_facts(ONE, Facts(rows=4, missing=0, forget_accuracy=0.0))
    assert entry.facts == Facts(rows=4, share=0.25, missing=0, forget_accuracy=0.0)
    assert ledger.set_facts(ONE, Facts()).facts == entry.facts


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("two\nlines\tand\x00more", "two lines and more"),
        ("asked by anna.b@example.org today", "asked by (address left out) today"),
        ("digits@champion is not known", "digits@champion is not known"),
        ("x" * 9000, "x" * 500),
        ("half \ud800 a character", "half a character"),
        ("\n", None),
    ],
)
def test_a_reason_is_one_line_without_addresses(ledger, filed, given, kept):
    filed()
    assert ledger.hold(ONE, actor="dpo", reason=given).reason == kept


def test_times_need_a_zone(ledger, filed):
    filed(extendable_to=START + 90 * DAY)
    with pytest.raises(TypeError):
        ledger.extend(ONE, datetime(2027, 1, 1), actor="dpo", reason="because")  # noqa: DTZ001


def test_many_requests_are_held_and_each_knows_from_where(ledger, filed):
    filed()
    ledger.file(a_request("p-2", id="req-2"), judged(State.AWAITING_APPROVAL), actor="cli")
    assert ledger.many.move([ONE, "req-2"], State.HELD, actor="dpo", reason="wait") == 2
    assert [ledger.release(n, actor="dpo").state for n in (ONE, "req-2")] == [
        State.APPROVED,
        State.AWAITING_APPROVAL,
    ]


def test_of_many_requests_none_moves_when_one_is_not_there(ledger, filed):
    before = filed()
    with pytest.raises(RequestError, match="no deletion request req-9"):
        ledger.many.move([ONE, "req-9"], State.CANCELLED, actor="dpo", reason="no")
    assert ledger.get(ONE) == before
