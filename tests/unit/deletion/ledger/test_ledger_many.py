"""Many requests at once: one transaction, all or none."""

import pytest
from ledger_tools import MINUTE, Announced, a_request, an_arrival, judged, states_of

from lethe.deletion.ledger.types import Facts, Judgement, Outcome
from lethe.deletion.states import State
from lethe.errors import RequestError

NAMES = ["req-1", "req-2", "req-3"]


@pytest.fixture
def registered(ledger):
    """Three requests that a version forgot."""
    for name in NAMES:
        ledger.file(a_request(f"p-{name}", id=name), judged(), actor="cli")
    batch = ledger.claim("worker-1", lease=MINUTE, limit=10)
    done = Outcome(State.REGISTERED, "done", Facts(successor="digits/2"))
    ledger.conclude(batch, dict.fromkeys(NAMES, done))
    return ledger


def all_states(ledger):
    return [ledger.get(name).state for name in NAMES]


def test_they_move_together_each_with_its_history(registered):
    moved = registered.many.move(NAMES, State.PROMOTED, actor="worker-1", reason="served")
    assert moved == 3
    assert all_states(registered) == [State.PROMOTED] * 3
    for name in NAMES:
        last = registered.get(name).history[-1]
        assert (last.actor, last.before, last.reason) == ("worker-1", State.REGISTERED, "served")


def test_what_is_there_already_stays_and_is_not_told_again(registered):
    registered.many.move(NAMES[:1], State.PROMOTED, actor="worker-1", reason="served")
    assert registered.many.move(NAMES, State.PROMOTED, actor="worker-1", reason="again") == 2
    assert registered.many.move(NAMES, State.PROMOTED, actor="worker-1", reason="again") == 0
    assert states_of(registered.get("req-1")).count(State.PROMOTED) == 1
    assert registered.get("req-1").reason == "served"


def test_those_that_may_not_go_there_stay_and_hold_up_no_other(registered):
    """Two workers settle the same requests: the second finds some of them further on."""
    registered.file(a_request("p-4", id="req-4"), judged(), actor="cli")
    registered.many.move(NAMES[:1], State.PROMOTED, actor="worker-1", reason="served")
    registered.many.move(NAMES[:1], State.COMPLETED, actor="worker-1", reason="Done")
    moved = registered.many.move([*NAMES, "req-4"], State.PROMOTED, actor="worker-2", reason="x")
    assert moved == 2
    assert all_states(registered) == [State.COMPLETED, State.PROMOTED, State.PROMOTED]
    assert registered.get("req-4").state is State.APPROVED


def test_weighing_changes_what_is_approved_and_nothing_that_was_decided_meanwhile(ledger):
    for name in [*NAMES, "req-4"]:
        ledger.file(a_request(f"p-{name}", id=name), judged(), actor="cli")
    ledger.hold("req-1", actor="dpo", reason="Litigation")
    ask = Judgement(State.AWAITING_APPROVAL, "too much", approvals_needed=2)
    no = Judgement(State.REJECTED, "nothing is there")
    heavy = Facts(rows=9, missing=0)
    found = ledger.many.weigh(
        {"req-1": (heavy, no), "req-2": (heavy, ask), "req-3": (heavy, no), "req-4": (heavy, None)},
        actor="worker-1",
    )
    assert list(found.values()) == [
        State.HELD,
        State.AWAITING_APPROVAL,
        State.REJECTED,
        State.APPROVED,
    ]
    assert ledger.get("req-1").facts.rows is None
    assert ledger.get("req-2").approvals_needed == 2
    assert ledger.get("req-4").facts.rows == 9


def test_only_what_was_weighed_is_begun_where_that_is_asked(ledger):
    for name in NAMES:
        ledger.file(a_request(f"p-{name}", id=name), judged(), actor="cli")
    assert ledger.claim("worker-1", lease=MINUTE, limit=10, weighed=True) is None
    ledger.many.weigh({"req-2": (Facts(missing=0), None)}, actor="worker-1")
    batch = ledger.claim("worker-1", lease=MINUTE, limit=10, weighed=True)
    assert [entry.id for entry in batch.entries] == ["req-2"]


def test_what_is_registered_can_be_made_again_in_another_batch(registered):
    assert registered.many.again(NAMES, actor="worker-1", reason="beside") == 3
    assert registered.many.again(NAMES, actor="worker-1", reason="beside") == 0
    again = registered.claim("worker-1", lease=MINUTE, limit=10)
    assert sorted(entry.id for entry in again.entries) == NAMES


def test_if_one_is_not_there_none_moves(registered):
    with pytest.raises(RequestError, match="no deletion request req-9"):
        registered.many.move([*NAMES, "req-9"], State.PROMOTED, actor="worker-1", reason="x")
    assert all_states(registered) == [State.REGISTERED] * 3


def test_no_requests_are_no_work(ledger):
    assert ledger.many.move([], State.COMPLETED, actor="worker-1", reason="Done") == 0
    ledger.many.set_facts({})
    assert ledger.many.forgotten_by([]) == []


def test_a_letter_is_owed_for_each_in_the_same_transaction(opened):
    ledger = opened(announce=Announced())
    for name in NAMES:
        ledger.file(a_request(f"p-{name}", id=name), judged(), actor="cli")
    before = ledger.letters_owed()["webhook"]
    ledger.many.move(NAMES, State.REJECTED, actor="dpo", reason="x")
    assert ledger.letters_owed()["webhook"] == before + 3


def test_facts_that_are_none_leave_what_is_known(registered):
    registered.many.set_facts({"req-1": Facts(rows=12), "req-2": Facts(), "req-3": Facts(rows=0)})
    assert [registered.get(name).facts.rows for name in NAMES] == [12, None, 0]
    assert registered.get("req-1").facts.successor == "digits/2"


def test_more_than_a_statement_takes_at_once_is_done_in_parts(ledger):
    """SQLite and PostgreSQL both bound the number of parameters."""
    names = [
        receipt.request_id for receipt in ledger.accept([an_arrival(str(n)) for n in range(1200)])
    ]
    ledger.many.set_facts({name: Facts(rows=1, successor=f"digits/{name}") for name in names})
    found = ledger.many.forgotten_by([f"digits/{name}" for name in names])
    assert [one.id for one in found] == names
    assert ledger.many.move(names, State.HELD, actor="dpo", reason="x") == 1200


def test_what_versions_forgot_comes_in_the_order_of_filing_without_duplicates(registered):
    registered.file(a_request("p-req-2", id="req-5"), judged(), actor="cli")
    assert registered.get("req-5").state is State.DUPLICATE
    registered.set_facts("req-5", Facts(successor="digits/2"))
    registered.file(a_request("p-6", id="req-6"), judged(), actor="cli")
    registered.set_facts("req-6", Facts(successor="digits/3"))
    found = registered.many.forgotten_by(["digits/2"])
    assert [one.id for one in found] == NAMES
    assert [one.id for one in registered.many.forgotten_by(["digits/3", "digits/2"])] == [
        *NAMES,
        "req-6",
    ]
    assert registered.many.forgotten_by(["digits/9"]) == []


def test_a_lease_of_a_worker_that_is_gone_ends_now(ledger):
    ledger.file(a_request(id="req-1"), judged(), actor="cli")
    ledger.file(a_request(id="req-2", model="watch@champion"), judged(), actor="cli")
    dead = ledger.claim("dead", lease=MINUTE, limit=10)
    alive = ledger.claim("alive", lease=MINUTE, limit=10)
    assert ledger.claim("next", lease=MINUTE, limit=10) is None
    assert ledger.many.free(lambda worker: worker == "dead") == [dead.id]
    again = ledger.claim("next", lease=MINUTE, limit=10)
    assert (again.id, again.attempt) == (dead.id, 2)
    ledger.renew(alive, MINUTE)
    with pytest.raises(RequestError):
        ledger.renew(dead, MINUTE)
    assert ledger.many.free(lambda worker: False) == []


def test_a_lease_that_has_run_out_is_nobodys_to_free(ledger, clock):
    ledger.file(a_request(id="req-1"), judged(), actor="cli")
    ledger.claim("dead", lease=MINUTE, limit=10)
    clock.forward(2 * MINUTE)
    asked = []
    assert ledger.many.free(lambda worker: bool(asked.append(worker))) == []
    assert asked == []


def test_what_lies_is_what_nobody_has_and_what_was_overlooked(ledger, clock):
    ledger.file(a_request("p-1", id="req-1"), judged(), actor="cli")
    ledger.file(a_request("p-2", id="req-2"), judged(at_once=True), actor="cli")
    assert ledger.many.lying(MINUTE) == 0
    clock.now += 2 * MINUTE
    assert ledger.many.lying(MINUTE) == 1  # req-2, which may not wait for the night
    batch = ledger.claim("worker-1", lease=MINUTE, limit=10)
    assert {one.id for one in batch.entries} == {"req-1", "req-2"}
    assert ledger.many.lying(MINUTE) == 0
    clock.now += 2 * MINUTE  # the worker was killed
    assert ledger.many.lying(MINUTE) == 2
    ledger.claim("worker-2", lease=MINUTE, limit=10)
    assert ledger.many.lying(MINUTE) == 0


def test_untouched_are_models_with_weighed_requests_of_which_nothing_is_begun(ledger, clock):
    for number, model in enumerate(("a@champion", "a@champion", "b@champion", "c@champion")):
        request = a_request(f"p-{number}", id=f"req-{number}", model=model)
        ledger.file(request, judged(), actor="cli")
    assert ledger.many.untouched() == 0  # nobody weighed them
    ledger.many.set_facts({f"req-{number}": Facts(missing=0) for number in range(3)})
    assert ledger.many.untouched() == 2
    batch = ledger.claim("worker-1", lease=MINUTE, limit=1)  # one of the two for a
    assert ledger.many.untouched() == 1
    clock.forward(2 * MINUTE)  # what was begun stays begun, or an outage would call for ever
    assert ledger.many.untouched() == 1
    batch = ledger.claim("worker-2", lease=MINUTE, limit=1)
    ledger.conclude(batch, {batch.entries[0].id: Outcome(State.FAILED, "no")})
    assert ledger.many.untouched() == 2  # the other one for a
