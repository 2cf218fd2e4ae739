"""Requests for the same thing: one is carried out, the others wait for it or take its place."""

import pytest
from ledger_tools import DAY, MINUTE, a_request, judged, states_of

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.types import Facts, Outcome
from lethe.deletion.states import State
from lethe.errors import RequestError


def filed(ledger, *ids, state=State.APPROVED, **request):
    return [ledger.file(a_request(id=name, **request), judged(state), actor="cli") for name in ids]


def carried_out(ledger, state, facts=None):
    batch = ledger.claim("worker", lease=MINUTE, limit=10)
    outcomes = {e.id: Outcome(state, "it ended", facts or Facts()) for e in batch.entries}
    ledger.conclude(batch, outcomes)


def test_the_second_request_for_the_same_thing_is_a_duplicate_of_the_first(ledger):
    first, second, third = filed(ledger, "req-1", "req-2", "req-3")
    assert first.duplicate_of is None
    assert {second.duplicate_of, third.duplicate_of} == {"req-1"}
    assert states_of(second) == [State.RECEIVED, State.DUPLICATE]
    assert "req-1" in second.reason
    assert [e.id for e in ledger.find(duplicate_of="req-1")] == ["req-3", "req-2"]


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "digits@staging"},
        {"model": "digits/3"},
        {"dataset": "data/other"},
        {"subject": "p-2"},
        {"evaluation": "data/held_out"},
        {"forget": ForgetSpec(dataset="data/digits", rev="v2")},
        {"forget": ForgetSpec(dataset="data/digits", selection=Selection(samples=("p-1",)))},
    ],
)
def test_a_request_for_something_else_is_none(ledger, changes):
    filed(ledger, "req-1")
    assert filed(ledger, "req-2", **changes)[0].state == State.APPROVED


def test_the_order_and_repetition_of_ids_make_no_difference(ledger):
    def of(*subjects):
        return ForgetSpec(dataset="data/digits", selection=Selection(subjects=subjects))

    filed(ledger, "req-1", forget=of("a", "b"))
    assert filed(ledger, "req-2", forget=of("b", "a", "b"))[0].state == State.DUPLICATE


def test_ground_ticket_and_source_make_no_difference(ledger):
    filed(ledger, "req-1")
    other = filed(ledger, "req-2", ground="CCPA 1798.105", source="portal", ticket="T-9")
    assert other[0].state == State.DUPLICATE


def test_what_the_policy_refuses_is_rejected_and_no_duplicate(ledger):
    filed(ledger, "req-1")
    assert filed(ledger, "req-2", state=State.REJECTED)[0].state == State.REJECTED


@pytest.mark.parametrize("how", ["cancel", "reject"])
def test_when_the_original_is_given_up_the_oldest_duplicate_takes_its_place(ledger, how):
    filed(ledger, "req-1", state=State.AWAITING_APPROVAL)
    filed(ledger, "req-2", "req-3")
    getattr(ledger, how)("req-1", actor="dpo", reason="not this one")
    second, third = ledger.get("req-2"), ledger.get("req-3")
    assert states_of(second) == [
        State.RECEIVED,
        State.DUPLICATE,
        State.RECEIVED,
        State.APPROVED,
    ]
    assert second.reason == "by the policy"
    assert second.duplicate_of is None
    assert (third.state, third.duplicate_of) == (State.DUPLICATE, "req-2")


def test_a_duplicate_goes_on_to_what_it_was_judged_itself(ledger):
    filed(ledger, "req-1")
    filed(ledger, "req-2", state=State.HELD)
    filed(ledger, "req-3", state=State.AWAITING_APPROVAL)
    ledger.cancel("req-1", actor="dpo")
    assert ledger.get("req-2").state == State.HELD
    ledger.cancel("req-2", actor="dpo")
    assert ledger.get("req-3").state == State.AWAITING_APPROVAL
    assert ledger.approve("req-3", actor="dpo").state == State.APPROVED


def test_a_cancelled_duplicate_is_passed_over(ledger):
    filed(ledger, "req-1", "req-2", "req-3")
    ledger.cancel("req-2", actor="dpo")
    ledger.cancel("req-1", actor="dpo")
    assert ledger.get("req-2").state == State.CANCELLED
    assert ledger.get("req-3").state == State.APPROVED


@pytest.mark.parametrize("end", [State.COMPLETED, State.PARTIAL])
def test_duplicates_learn_that_the_original_was_carried_out(ledger, end):
    filed(ledger, "req-1", "req-2")
    facts = Facts(successor="digits/4", forget_accuracy=0.0)
    carried_out(ledger, State.REGISTERED, facts)
    assert ledger.get("req-2").facts == Facts()
    ledger.move("req-1", end, actor="worker")
    duplicate = ledger.get("req-2")
    assert duplicate.state == State.DUPLICATE
    assert duplicate.facts == facts
    assert duplicate.history[-1].reason == f"req-1, which it repeats, is {end}"
    assert duplicate.history[-1].before == duplicate.history[-1].after


@pytest.mark.parametrize("end", [State.REFUSED, State.FAILED])
def test_duplicates_learn_that_the_original_failed_and_stay_with_it(ledger, end):
    filed(ledger, "req-1", "req-2")
    carried_out(ledger, end, Facts(run_id="r1"))
    assert ledger.get("req-2").history[-1].reason == f"req-1, which it repeats, is {end}"
    ledger.retry("req-1", actor="operator")
    assert ledger.get("req-2").duplicate_of == "req-1"
    assert ledger.get("req-2").state == State.DUPLICATE


def test_notes_to_duplicates_are_not_announced(opened, announced):
    ledger = opened(announce=announced)
    filed(ledger, "req-1", "req-2")
    carried_out(ledger, State.REFUSED)
    assert [m.after for e, m in announced.told if e.id == "req-2"] == [
        State.RECEIVED,
        State.DUPLICATE,
    ]


@pytest.mark.parametrize("end", [State.REFUSED, State.FAILED])
def test_a_request_for_what_failed_before_is_carried_out_itself(ledger, end):
    filed(ledger, "req-1")
    carried_out(ledger, end)
    assert filed(ledger, "req-2")[0].state == State.APPROVED


def test_a_request_for_what_was_completed_is_carried_out_itself(ledger, clock):
    filed(ledger, "req-1")
    carried_out(ledger, State.REGISTERED)
    assert filed(ledger, "req-2")[0].duplicate_of == "req-1"
    ledger.move("req-1", State.COMPLETED, actor="worker")
    clock.forward(DAY)
    assert filed(ledger, "req-3")[0].state == State.APPROVED


def test_a_duplicate_is_neither_approved_nor_claimed_by_itself(ledger):
    filed(ledger, "req-1", "req-2")
    with pytest.raises(RequestError):
        ledger.approve("req-2", actor="dpo")
    assert ledger.claim("worker", lease=MINUTE, limit=9, ids=["req-2"]) is None
