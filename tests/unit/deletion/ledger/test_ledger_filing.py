"""Filing a request, and what comes back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_tools import DAY, START, a_request, judged, states_of

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.data.union import AnyOf
from lethe.deletion.ledger.types import Facts
from lethe.deletion.states import State
from lethe.errors import RequestError

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3).map(tuple)
SELECTIONS = st.builds(
    Selection, classes=st.none() | NAMES, subjects=st.none() | NAMES, samples=st.none() | NAMES
)


def test_a_filed_request_is_judged_and_comes_back_whole(ledger):
    request = a_request(evaluation="data/held_out", ticket="T-1", ground="GDPR Art. 17(1)(b)")
    judgement = judged(at_once=True, extendable_to=START + 90 * DAY)
    entry = ledger.file(request, judgement, actor="cli", reply={"issue": 17})
    assert entry == ledger.get(request.id)
    assert entry.request == request
    assert entry.id == request.id
    assert (entry.state, entry.reason) == (State.APPROVED, "by the policy")
    assert (entry.due_at, entry.extendable_to) == (judgement.due_at, judgement.extendable_to)
    assert (entry.policy, entry.at_once) == (judgement.policy, True)
    assert entry.reply == {"issue": 17}
    assert entry.facts == Facts()
    assert [(m.at, m.actor, m.before, m.after) for m in entry.history] == [
        (START, "cli", None, State.RECEIVED),
        (START, "cli", State.RECEIVED, State.APPROVED),
    ]


@pytest.mark.parametrize(
    "state", [State.APPROVED, State.AWAITING_APPROVAL, State.HELD, State.REJECTED]
)
def test_a_request_becomes_what_it_was_judged_to_be(ledger, state):
    entry = ledger.file(a_request(), judged(state), actor="cli")
    assert states_of(entry) == [State.RECEIVED, state]


@pytest.mark.parametrize("state", [State.COMPLETED, State.IN_PROGRESS, State.RECEIVED])
def test_a_judgement_that_skips_the_queue_is_refused_and_nothing_is_filed(ledger, state):
    request = a_request()
    with pytest.raises(RequestError):
        ledger.file(request, judged(state), actor="cli")
    with pytest.raises(RequestError, match="no deletion request"):
        ledger.get(request.id)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    SELECTIONS | st.none() | st.lists(SELECTIONS, max_size=3).map(lambda p: AnyOf(parts=tuple(p)))
)
def test_any_selection_survives_encryption(ledger, selection):
    forget = ForgetSpec(dataset="data/digits", selection=selection, rev="v1", whole=True)
    request = a_request(forget=forget)
    assert ledger.file(request, judged(), actor="cli").request == request


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(ledger):
    zone = timezone(timedelta(hours=5, minutes=30))
    request = a_request(received_at=START.astimezone(zone))
    entry = ledger.file(request, judged(due_at=(START + DAY).astimezone(zone)), actor="cli")
    assert entry.request.received_at == START
    assert entry.due_at == START + DAY
    assert {entry.due_at.utcoffset(), entry.updated_at.utcoffset()} == {timedelta(0)}


def test_filing_the_same_again_returns_what_is_there(ledger):
    request = a_request()
    first = ledger.file(request, judged(), actor="cli")
    later = request.model_copy(update={"received_at": START + DAY})
    assert ledger.file(later, judged(State.REJECTED), actor="other") == first


def test_another_request_under_the_same_id_is_refused_and_the_first_stays(ledger):
    first = ledger.file(a_request("p-1", id="req-1"), judged(), actor="cli")
    with pytest.raises(RequestError, match="left unchanged") as refused:
        ledger.file(a_request("p-secret", id="req-1"), judged(), actor="cli")
    assert "p-secret" not in str(refused.value)
    assert ledger.get("req-1") == first


def test_a_request_filed_by_many_threads_at_once_is_there_once(ledger):
    request = a_request()
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda _: ledger.file(request, judged(), actor="cli"), range(32)))
    assert {entry.history for entry in entries} == {ledger.get(request.id).history}
    assert len(ledger.find()) == 1


def test_an_absent_request_is_told_apart_and_a_strange_id_is_not_repeated(ledger):
    with pytest.raises(RequestError, match="no deletion request req-0 "):
        ledger.get("req-0")
    with pytest.raises(RequestError) as refused:
        ledger.get("anna@example.org")
    assert "anna" not in str(refused.value)


@pytest.mark.parametrize("actor", ["anna@example.org", "", "two\nlines", "a b"])
def test_an_actor_that_may_be_a_person_s_address_is_refused(ledger, actor):
    with pytest.raises(RequestError) as refused:
        ledger.file(a_request(), judged(), actor=actor)
    assert not actor or actor not in str(refused.value)
    assert ledger.find() == []


def test_every_move_is_announced_with_the_entry_as_it_is_then(opened, announced):
    ledger = opened(announce=announced)
    entry = ledger.file(a_request(), judged(), actor="cli", reply={"issue": 1})
    assert [(e.state, m.before, m.after) for e, m in announced.told] == [
        (State.RECEIVED, None, State.RECEIVED),
        (State.APPROVED, State.RECEIVED, State.APPROVED),
    ]
    assert all(e.request == entry.request and e.reply == {"issue": 1} for e, _ in announced.told)
    assert ledger.letters_owed() == {"webhook": 2}


def test_an_announcement_that_fails_undoes_the_move(opened):
    def broken(entry, move):
        raise ZeroDivisionError

    request = a_request()
    with pytest.raises(ZeroDivisionError):
        opened(announce=broken).file(request, judged(), actor="cli")
    ledger = opened()
    assert ledger.find() == []
    ledger.file(request, judged(), actor="cli")
    with pytest.raises(ZeroDivisionError):
        opened(announce=broken).hold(request.id, actor="dpo", reason="wait")
    assert ledger.get(request.id).state == State.APPROVED
