"""What may be personal goes some months after a request has ended; the record of it stays."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from ledger_tools import KEY, MINUTE, START, a_request, an_arrival, ids_in, judged, taken_back
from sqlalchemy import create_engine, func, select, text

from lethe.deletion.ledger import migrate
from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.retention import BATCH, WORDS, Purged, ceiling
from lethe.deletion.ledger.tables import deliveries, letters, requests
from lethe.deletion.ledger.types import Facts, Letter, Outcome, Reception
from lethe.deletion.states import ENDED, OPEN, State
from lethe.errors import RequestError

MONTHS = 6
# Six months after the clock's start, to the second.
DUE = datetime(2027, 5, 21, 9, 0, tzinfo=UTC)
REPLY = {"issue": "canary"}
BATCH_ENDS = {State.REGISTERED, State.REFUSED, State.FAILED}


def bring(ledger, state, name="req-1", subject=None):
    """A request that came into a state at the clock's time."""
    first = {State.REJECTED, State.HELD, State.AWAITING_APPROVAL}
    how = judged(state if state in first else State.APPROVED)
    asked = a_request(subject or f"p-{name}", id=name)
    ledger.file(asked, how, actor="cli", reply=REPLY)
    if state is State.CANCELLED:
        ledger.cancel(name, actor="cli")
    if state in {State.IN_PROGRESS, State.PROMOTED, State.ERASING} | BATCH_ENDS | ENDED - first - {
        State.CANCELLED
    }:
        batch = ledger.claim("worker", lease=MINUTE, limit=1, ids=[name])
        end = state if state in BATCH_ENDS else State.REGISTERED
        facts = Facts(rows=3, successor="digits/2", statement="f" * 64)
        if state is not State.IN_PROGRESS:
            ledger.conclude(batch, {name: Outcome(end, "done", facts)})
        if state in {State.PROMOTED, State.ERASING, State.COMPLETED, State.PARTIAL}:
            ledger.move(name, state, actor="flow")
    return ledger.get(name)


def purge(ledger, **more):
    return ledger.retention.purge(MONTHS, actor="flow", **more)


def row_of(ledger, name):
    return ledger._run.read(
        lambda tx: tx.sql.execute(select(requests).where(requests.c.id == name)).one()
    )


def number_of(ledger, table, *conditions):
    query = select(func.count(table.c.seq)).where(*conditions)
    return ledger._run.read(lambda tx: tx.sql.scalar(query))


@pytest.mark.parametrize("state", sorted(ENDED))
def test_what_has_ended_is_emptied_after_those_months_and_not_a_second_before(ledger, clock, state):
    before = bring(ledger, state)
    assert before.state is state
    clock.now = DUE - timedelta(seconds=1)
    assert ledger.retention.due(MONTHS) == purge(ledger) == Purged()
    assert ledger.get("req-1") == before
    clock.now = DUE
    assert ledger.retention.due(MONTHS) == Purged(requests=1)
    assert purge(ledger) == Purged(requests=1)
    row = row_of(ledger, "req-1")
    assert (row.selection, row.reply, row.purged_at) == (None, None, DUE)
    after = ledger.get("req-1")
    assert (after.selection_gone, after.selected_by, after.reply) == (True, "subject", {})
    assert after.request.forget.selection is None
    # The record: everything else is as it was, and the history has one line more.
    assert (after.state, after.facts, after.policy) == (state, before.facts, before.policy)
    assert after.history[:-1] == before.history
    line = after.history[-1]
    assert (line.before, line.after, line.actor, line.reason) == (state, state, "flow", WORDS)


@pytest.mark.parametrize("state", sorted(OPEN - {State.RECEIVED}))
def test_what_is_open_keeps_everything_however_old_it_is(ledger, clock, state):
    before = bring(ledger, state)
    assert before.state is state
    clock.now = DUE + timedelta(days=3650)
    assert ledger.retention.due(1) == ledger.retention.purge(1, actor="flow") == Purged()
    assert ledger.get("req-1") == before
    assert before.request.forget.selection.subjects == ("p-req-1",)


def test_what_is_noted_later_does_not_keep_it_for_longer(ledger, clock):
    bring(ledger, State.COMPLETED)
    clock.now = DUE - timedelta(days=1)
    ledger.note("req-1", "digits/2 was rolled back", actor="cli")
    clock.now = DUE
    assert purge(ledger) == Purged(requests=1)


def test_a_second_try_begins_the_time_anew(ledger, clock):
    bring(ledger, State.REFUSED)
    clock.now = DUE - timedelta(days=1)
    ledger.retry("req-1", actor="dpo")
    assert row_of(ledger, "req-1").ended_at is None
    batch = ledger.claim("worker", lease=MINUTE, limit=1)
    ledger.conclude(batch, {"req-1": Outcome(State.FAILED, "again")})
    clock.now = DUE
    assert purge(ledger) == Purged()
    clock.now = DUE + timedelta(days=200)
    assert purge(ledger) == Purged(requests=1)


def test_doing_it_again_changes_nothing(ledger, clock):
    bring(ledger, State.COMPLETED)
    clock.now = DUE
    purge(ledger)
    after = ledger.get("req-1")
    clock.forward(timedelta(days=400))
    assert (purge(ledger), ledger.get("req-1")) == (Purged(), after)


def test_it_goes_in_batches_the_oldest_first(ledger, clock):
    names = [f"req-{n}" for n in range(5)]
    for name in names:
        bring(ledger, State.CANCELLED, name)
    clock.now = DUE
    assert ledger.retention.due(MONTHS) == Purged(requests=5)
    assert purge(ledger, limit=2) == Purged(requests=2)
    assert [ledger.get(name).selection_gone for name in names] == [True] * 2 + [False] * 3
    assert ledger.retention.purge_all(MONTHS, actor="flow") == Purged(requests=3)
    assert BATCH >= 5


def test_workers_that_do_it_at_once_empty_each_request_once(opened, clock):
    ledgers = [opened() for _ in range(4)]
    names = [f"req-{n}" for n in range(12)]
    for name in names:
        bring(ledgers[0], State.CANCELLED, name)
    clock.now = DUE

    def work(ledger):
        done = Purged()
        while (one := purge(ledger, limit=1)).total:
            done += one
        return done.requests

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, ledgers)) == 12
    for name in names:
        assert [m.reason for m in ledgers[0].get(name).history].count(WORDS) == 1


def test_as_long_as_a_letter_is_owed_nothing_is_emptied(ledger, clock):
    bring(ledger, State.COMPLETED)
    ledger.enqueue([Letter("github", "k", {"text": "canary"}, "req-1")])
    clock.now = DUE + timedelta(days=900)
    (letter,) = ledger.letters_due("courier", lease=MINUTE, limit=9)
    assert purge(ledger) == Purged()
    ledger.not_sent(letter, "busy", clock.now + timedelta(days=1))
    assert purge(ledger) == Purged()
    clock.forward(timedelta(days=1))
    (letter,) = ledger.letters_due("courier", lease=MINUTE, limit=9)
    ledger.sent(letter)
    assert purge(ledger) == Purged(requests=1)


def test_a_letter_that_was_given_up_goes_when_it_is_as_old_and_then_cannot_be_sent(ledger, clock):
    bring(ledger, State.COMPLETED)
    about = {"k-1": "req-1", "k-2": None}
    ledger.enqueue([Letter("github", k, {"text": "x"}, of) for k, of in about.items()])
    clock.now = START + timedelta(days=20)
    for letter in ledger.letters_due("courier", lease=MINUTE, limit=9):
        ledger.not_sent(letter, "gone", None)
    clock.now = DUE  # the request is old enough, its letter is not: a person may still send it
    assert ledger.retention.due(MONTHS) == purge(ledger) == Purged()
    clock.now = DUE + timedelta(days=21)
    assert ledger.retention.due(MONTHS) == Purged(1, 2)
    assert purge(ledger) == Purged(1, 2)
    assert number_of(ledger, letters, letters.c.payload.is_not(None)) == 0
    with pytest.raises(RequestError, match="no longer kept"):
        ledger.revive("k-1")
    assert ledger.letters_due("courier", lease=MINUTE, limit=9) == []
    assert [dead[1] for dead in ledger.letters_dead()] == ["k-1", "k-2"]


def test_letters_of_an_open_request_stay_however_long_ago_they_were_given_up(ledger, clock):
    bring(ledger, State.HELD)
    ledger.enqueue([Letter("github", "k", {"text": "x"}, "req-1")])
    (letter,) = ledger.letters_due("courier", lease=MINUTE, limit=9)
    ledger.not_sent(letter, "gone", None)
    clock.now = DUE + timedelta(days=900)
    assert purge(ledger) == Purged()
    ledger.revive("k")
    assert len(ledger.letters_due("courier", lease=MINUTE, limit=9)) == 1


@pytest.mark.parametrize("end", [State.COMPLETED, State.REFUSED])
def test_a_duplicate_goes_after_what_it_repeats(ledger, clock, end):
    ledger.file(a_request(id="req-1"), judged(), actor="cli", reply=REPLY)
    ledger.file(a_request(id="req-2"), judged(), actor="cli", reply=REPLY)
    ledger.enqueue([Letter("github", "k", {"text": "x"}, "req-1")])
    (letter,) = ledger.letters_due("courier", lease=MINUTE, limit=9)
    batch = ledger.claim("worker", lease=MINUTE, limit=9)
    assert ids_in(batch) == ["req-1"]
    first = end if end in BATCH_ENDS else State.REGISTERED
    ledger.conclude(batch, {"req-1": Outcome(first, "done")})
    if first is not end:
        ledger.move("req-1", end, actor="flow")
    clock.now = DUE
    # What is owed for the original, its duplicates' answers perhaps, keeps them too.
    assert ledger.retention.due(MONTHS) == purge(ledger) == Purged()
    ledger.sent(letter)
    assert ledger.retention.due(MONTHS) == Purged(2)
    assert purge(ledger, limit=1) == Purged(1)
    assert [ledger.get(n).selection_gone for n in ("req-1", "req-2")] == [True, False]
    assert purge(ledger) == Purged(1)
    assert ledger.get("req-2").state is State.DUPLICATE
    ledger.cancel("req-2", actor="dpo")
    assert ledger.get("req-2").state is State.CANCELLED


def test_a_duplicate_that_may_still_take_the_place_of_another_stays_whole(ledger, clock):
    for name in ("req-1", "req-2"):
        ledger.file(a_request(id=name), judged(), actor="cli")
    clock.now = DUE + timedelta(days=900)
    assert purge(ledger) == Purged()
    ledger.cancel("req-1", actor="dpo")
    entry = ledger.get("req-2")
    assert (entry.state, entry.request.forget.selection.subjects) == (State.APPROVED, ("p-1",))


@pytest.mark.parametrize("state", [State.REFUSED, State.FAILED])
def test_what_was_emptied_is_not_tried_again(ledger, clock, state):
    bring(ledger, state)
    clock.now = DUE
    purge(ledger)
    before = ledger.get("req-1")
    for again in (
        lambda: ledger.retry("req-1", actor="dpo"),
        lambda: ledger.move("req-1", State.APPROVED, actor="dpo"),
        lambda: ledger.many.move(["req-1"], State.APPROVED, actor="dpo", reason="x"),
    ):
        with pytest.raises(RequestError, match=r"no longer kept \(since 2027-05-21\)"):
            again()
    assert ledger.get("req-1") == before
    assert ledger.claim("worker", lease=MINUTE, limit=9) is None


def test_a_data_set_that_was_named_as_a_whole_is_still_known(ledger, clock):
    spec = a_request().forget.model_copy(update={"selection": None, "whole": True})
    ledger.file(a_request(id="req-1", forget=spec), judged(), actor="cli", reply=REPLY)
    ledger.cancel("req-1", actor="cli")
    clock.now = DUE
    assert purge(ledger) == Purged(1)
    entry = ledger.get("req-1")
    assert (entry.purged_at, entry.selection_gone, entry.reply) == (DUE, False, {})
    assert entry.request.forget == spec


def test_the_very_same_request_is_known_again_by_its_digest(ledger, clock):
    asked = a_request(id="req-1")
    ledger.file(asked, judged(), actor="cli")
    ledger.cancel("req-1", actor="cli")
    clock.now = DUE
    purge(ledger)
    entry = ledger.get("req-1")
    assert ledger.file(asked, judged(State.HELD), actor="other") == entry
    for other in (a_request("p-2", id="req-1"), a_request(id="req-1", ground="another")):
        with pytest.raises(RequestError, match="belongs to another one"):
            ledger.file(other, judged(), actor="cli")


def test_a_ticket_that_comes_again_after_its_delivery_was_forgotten_changes_nothing(ledger, clock):
    arrival = an_arrival("T-1")
    (filed,) = ledger.accept([arrival])
    batch = ledger.claim("worker", lease=MINUTE, limit=1)
    ledger.conclude(batch, {filed.request_id: Outcome(State.REFUSED, "no")})
    assert ledger.accept([taken_back("T-1")])[0].reception is Reception.TOO_LATE
    clock.now = DUE
    assert ledger.retention.due(MONTHS) == Purged(1, 0, 2)
    assert purge(ledger) == Purged(1, 0, 2)
    assert number_of(ledger, deliveries) == 0
    history = ledger.get(filed.request_id).history
    (again,) = ledger.accept([arrival])
    assert (again.reception, again.request_id) == (Reception.REPEATED, filed.request_id)
    assert ledger.get(filed.request_id).history == history  # its digest is the same: no change
    # What it came with now is deleted in its turn.
    assert purge(ledger) == Purged()
    clock.forward(timedelta(days=200))
    assert purge(ledger) == Purged(deliveries=1)


def test_months_are_calendar_months():
    assert ceiling(datetime(2027, 8, 31, 12, tzinfo=UTC), 6) == datetime(
        2027, 2, 28, 12, tzinfo=UTC
    )


def test_a_ledger_of_before_learns_when_its_requests_ended(new_url, clock):
    from alembic import command

    ledger = open_ledger(new_url, key=KEY, clock=clock)
    for name, state in (
        ("req-1", State.COMPLETED),
        ("req-2", State.REGISTERED),
        ("req-3", State.REJECTED),
    ):
        bring(ledger, state, name)
        clock.forward(MINUTE)
        ledger.note(name, "a note", actor="cli")
    kept = [row_of(ledger, f"req-{n}").ended_at for n in (1, 2, 3)]
    assert kept == [START, None, START + 2 * MINUTE]
    ledger.close()
    engine = create_engine(new_url)
    with engine.begin() as connection:
        command.downgrade(migrate.config(connection), "0002")
        columns = connection.execute(text("SELECT * FROM requests")).keys()
        assert not {"ended_at", "purged_at", "selected_by"} & set(columns)
    engine.dispose()
    with open_ledger(new_url, key=KEY, clock=clock) as ledger:
        assert [row_of(ledger, f"req-{n}").ended_at for n in (1, 2, 3)] == kept
        clock.now = DUE
        assert purge(ledger) == Purged(1)
