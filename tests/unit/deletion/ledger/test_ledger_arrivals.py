"""Taking deliveries in: each ticket once, none lost, none spoiled by another."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from ledger_tools import DAY, MINUTE, a_request, an_arrival, judged, taken_back, unread

from lethe.deletion.ledger.types import Arrival, ArrivalKind, Letter, Reception
from lethe.deletion.states import State


def receptions(receipts):
    return [receipt.reception for receipt in receipts]


def accept(ledger, arrival):
    (receipt,) = ledger.accept([arrival])
    return receipt


def test_a_ticket_is_filed_as_it_was_read_and_judged(ledger):
    arrival = an_arrival("T-1", state=State.AWAITING_APPROVAL)
    receipt = accept(ledger, arrival)
    assert receipt.reception == Reception.FILED
    assert receipt.state == State.AWAITING_APPROVAL
    entry = ledger.get(receipt.request_id)
    assert entry.request == arrival.request
    assert entry.reply == arrival.reply
    assert {move.actor for move in entry.history} == {"intake:tracker"}


def test_a_group_gets_its_receipts_in_order(ledger):
    first = an_arrival("T-1")
    receipts = ledger.accept(
        [
            first,
            unread("T-2"),
            Arrival("tracker", "d-3", ArrivalKind.IGNORE),
            replace(first, delivery_id="d-4"),
            taken_back("T-1"),
            an_arrival("T-5", state=State.REJECTED),
        ]
    )
    assert receptions(receipts) == [
        Reception.FILED,
        Reception.UNREADABLE,
        Reception.IGNORED,
        Reception.REPEATED,
        Reception.CANCELLED,
        Reception.FILED,
    ]
    assert receipts[3].request_id == receipts[0].request_id == first.request.id
    assert receipts[4].state == State.CANCELLED
    assert receipts[5].state == State.REJECTED


def test_nothing_to_take_in_is_no_work(ledger):
    assert ledger.accept([]) == []


def test_the_same_delivery_again_changes_nothing(ledger):
    arrival = an_arrival("T-1")
    first = accept(ledger, arrival)
    before = ledger.get(first.request_id)
    again = accept(ledger, replace(arrival, request=a_request("p-9", source="tracker")))
    assert (again.reception, again.request_id) == (Reception.REPEATED, first.request_id)
    assert again.state == before.state
    assert ledger.get(first.request_id) == before
    assert len(ledger.find()) == 1


def test_the_same_delivery_twice_in_one_group_files_once(ledger):
    arrival = an_arrival("T-1")
    assert receptions(ledger.accept([arrival, arrival])) == [Reception.FILED, Reception.REPEATED]
    assert len(ledger.find()) == 1


def test_another_delivery_of_the_same_ticket_files_nothing(ledger):
    first = accept(ledger, an_arrival("T-1"))
    again = accept(ledger, an_arrival("T-1", delivery="d-2"))
    assert (again.reception, again.request_id) == (Reception.REPEATED, first.request_id)
    assert len(ledger.get(first.request_id).history) == 2


@pytest.mark.parametrize("together", [True, False])
def test_a_ticket_that_was_changed_keeps_its_first_request_and_says_so(ledger, together):
    first, changed = an_arrival("T-1", "p-1"), an_arrival("T-1", "p-2", delivery="d-2")
    groups = [[first, changed]] if together else [[first], [changed]]
    receipts = [receipt for group in groups for receipt in ledger.accept(group)]
    assert receptions(receipts) == [Reception.FILED, Reception.REPEATED]
    (entry,) = map(ledger.get, {receipt.request_id for receipt in receipts})
    assert entry.request == first.request
    assert "changed after it was filed" in entry.history[-1].reason
    assert entry.history[-1].actor == "intake:tracker"


def test_deliveries_and_tickets_of_two_sources_are_not_confused(ledger):
    here = an_arrival("T-1", "p-1", delivery="d-1", source="tracker")
    there = an_arrival("T-1", "p-2", delivery="d-1", source="portal")
    assert receptions(ledger.accept([here, there])) == [Reception.FILED, Reception.FILED]


def test_a_source_and_a_delivery_are_not_run_together(ledger):
    one = replace(an_arrival("T-1", source="a"), delivery_id="b:c")
    other = replace(an_arrival("T-2", source="a"), delivery_id="b")
    third = replace(an_arrival("T-3", source="a-b"), delivery_id="c")
    assert set(receptions(ledger.accept([one, other, third]))) == {Reception.FILED}


def test_without_a_ticket_only_the_delivery_counts(ledger):
    def one(delivery, subject):
        request = a_request(subject, source="portal")
        return Arrival("portal", delivery, ArrivalKind.FILE, request=request, judgement=judged())

    assert receptions(ledger.accept([one("d-1", "p-1"), one("d-2", "p-2")])) == [
        Reception.FILED,
        Reception.FILED,
    ]
    assert accept(ledger, one("d-2", "p-2")).reception == Reception.REPEATED


def test_two_tickets_for_the_same_thing_are_a_request_and_a_duplicate(ledger):
    receipts = ledger.accept([an_arrival("T-1", "p-1"), an_arrival("T-2", "p-1")])
    assert [r.state for r in receipts] == [State.APPROVED, State.DUPLICATE]
    later = accept(ledger, an_arrival("T-3", "p-1"))
    assert later.state == State.DUPLICATE
    assert ledger.get(later.request_id).duplicate_of == receipts[0].request_id


def test_a_request_filed_by_hand_for_a_ticket_does_not_stand_in_its_way(ledger):
    ledger.file(a_request("p-1", source="tracker", ticket="T-1"), judged(), actor="cli")
    ledger.file(a_request("p-2", source="tracker", ticket="T-1"), judged(), actor="cli")
    assert accept(ledger, an_arrival("T-1", "p-3")).reception == Reception.FILED


# Taking back


def test_a_ticket_is_taken_back_while_that_is_possible(ledger):
    filed = accept(ledger, an_arrival("T-1"))
    receipt = accept(ledger, taken_back("T-1"))
    assert (receipt.reception, receipt.state) == (Reception.CANCELLED, State.CANCELLED)
    assert ledger.get(filed.request_id).history[-1].actor == "intake:tracker"
    assert accept(ledger, taken_back("T-1")).reception == Reception.REPEATED
    assert accept(ledger, taken_back("T-1", delivery="d-9")).reception == Reception.REPEATED


def test_a_held_ticket_is_taken_back(ledger):
    accept(ledger, an_arrival("T-1", state=State.HELD))
    assert accept(ledger, taken_back("T-1")).state == State.CANCELLED


def test_a_ticket_that_is_being_carried_out_is_taken_back_too_late(ledger):
    filed = accept(ledger, an_arrival("T-1"))
    ledger.claim("worker", lease=MINUTE, limit=1)
    receipt = accept(ledger, taken_back("T-1"))
    assert (receipt.reception, receipt.state) == (Reception.TOO_LATE, State.IN_PROGRESS)
    assert "too late" in ledger.get(filed.request_id).history[-1].reason
    assert accept(ledger, taken_back("T-1")).reception == Reception.REPEATED


def test_nobody_takes_back_another_source_s_ticket(ledger):
    filed = accept(ledger, an_arrival("T-1", source="tracker"))
    receipt = accept(ledger, taken_back("T-1", source="portal"))
    assert (receipt.reception, receipt.request_id) == (Reception.IGNORED, None)
    assert ledger.get(filed.request_id).state == State.APPROVED


def test_taking_back_a_ticket_that_was_never_filed_is_ignored(ledger):
    assert accept(ledger, taken_back("T-1")).reception == Reception.IGNORED
    assert accept(ledger, taken_back("not a key at all")).reception == Reception.IGNORED


def test_a_ticket_that_was_taken_back_may_come_again(ledger):
    first = accept(ledger, an_arrival("T-1"))
    accept(ledger, taken_back("T-1"))
    repeated = accept(ledger, an_arrival("T-1"))
    assert (repeated.reception, repeated.state) == (Reception.REPEATED, State.CANCELLED)
    again = accept(ledger, an_arrival("T-1", delivery="reopened"))
    assert again.reception == Reception.FILED
    assert again.request_id != first.request_id
    assert accept(ledger, taken_back("T-1", delivery="back-2")).request_id == again.request_id


def test_a_ticket_that_was_rejected_may_come_again(ledger):
    accept(ledger, an_arrival("T-1", state=State.REJECTED))
    assert accept(ledger, an_arrival("T-1", delivery="d-2")).reception == Reception.FILED


def test_a_ticket_that_was_rejected_may_come_again_in_the_same_group(ledger):
    first = an_arrival("T-1", state=State.REJECTED)
    receipts = ledger.accept([first, an_arrival("T-1", delivery="d-2"), an_arrival("T-1")])
    assert receptions(receipts) == [Reception.FILED, Reception.FILED, Reception.REPEATED]
    assert [r.state for r in receipts] == [State.REJECTED, State.APPROVED, State.REJECTED]


def test_filed_and_taken_back_and_filed_again_in_one_group(ledger):
    receipts = ledger.accept(
        [an_arrival("T-1"), taken_back("T-1"), an_arrival("T-1", delivery="reopened")]
    )
    assert receptions(receipts) == [Reception.FILED, Reception.CANCELLED, Reception.FILED]
    # What a receipt says was true when its delivery was taken in.
    assert [r.state for r in receipts] == [State.APPROVED, State.CANCELLED, State.APPROVED]


def test_when_a_ticket_is_taken_back_its_duplicate_goes_on(ledger):
    _, other = ledger.accept([an_arrival("T-1", "p-1"), an_arrival("T-2", "p-1")])
    accept(ledger, taken_back("T-1"))
    assert ledger.get(other.request_id).state == State.APPROVED


# What cannot be read


def test_what_cannot_be_read_is_kept_for_the_operator(ledger, clock):
    accept(ledger, unread("T-1", problem="the field model is missing"))
    clock.forward(MINUTE)
    accept(ledger, unread("T-2", problem="two\nlines by anna@example.org"))
    first, second = ledger.unreadable()
    assert (first.source, first.ticket, first.at) == ("tracker", "T-2", clock.now)
    assert first.problem == "two lines by (address left out)"
    assert second.problem == "the field model is missing"
    assert len(ledger.unreadable(limit=1)) == 1
    assert ledger.find() == []


def test_a_ticket_key_that_is_none_is_not_kept(ledger):
    accept(ledger, unread("Anna B. <anna@example.org>"))
    assert ledger.unreadable()[0].ticket is None


def test_what_could_not_be_read_is_read_anew_when_it_comes_again(ledger):
    arrival = an_arrival("T-1")
    accept(ledger, unread("T-1", delivery=arrival.delivery_id))
    assert accept(ledger, arrival).reception == Reception.FILED
    assert ledger.unreadable() == []
    assert accept(ledger, arrival).reception == Reception.REPEATED


def test_what_was_about_something_else_may_be_about_this_when_it_comes_again(ledger):
    arrival = an_arrival("T-1")
    accept(ledger, Arrival("tracker", arrival.delivery_id, ArrivalKind.IGNORE))
    assert accept(ledger, arrival).reception == Reception.FILED


def bad(**changes):
    return replace(an_arrival("T-bad"), **changes)


def with_forget(**changes):
    good = an_arrival("T-bad")
    forget = good.request.forget.model_copy(update=changes)
    return replace(good, request=good.request.model_copy(update={"forget": forget}))


@pytest.mark.parametrize(
    "spoiled",
    [
        bad(request=None),
        bad(judgement=None),
        bad(judgement=judged(State.COMPLETED)),
        bad(ticket="T-other"),
        bad(request=a_request(source="portal", ticket="T-bad")),
        bad(reply={"not json": object()}),
        with_forget(dataset="data/\0nul"),
        with_forget(rev="half \ud800 a character"),
        bad(request=a_request(id="req-taken", source="tracker", ticket="T-bad")),
    ],
)
def test_one_bad_arrival_does_not_spoil_the_others(ledger, spoiled):
    ledger.file(a_request("p-taken", id="req-taken"), judged(), actor="cli")
    receipts = ledger.accept([an_arrival("T-1"), spoiled, an_arrival("T-2")])
    assert receptions(receipts) == [Reception.FILED, Reception.UNREADABLE, Reception.FILED]
    assert [ledger.get(receipts[n].request_id).request.ticket for n in (0, 2)] == ["T-1", "T-2"]
    (noted,) = ledger.unreadable()
    assert noted.problem
    assert accept(ledger, an_arrival("T-bad")).reception == Reception.FILED


def test_an_arrival_that_cannot_be_announced_does_not_spoil_the_others(opened):
    def announce(entry, move):
        if entry.request.ticket == "T-bad":
            raise KeyError(entry.request.ticket)
        return [Letter("webhook", f"{entry.id}:{move.after}", {})]

    ledger = opened(announce=announce)
    receipts = ledger.accept([an_arrival("T-1"), an_arrival("T-bad"), an_arrival("T-2")])
    assert receptions(receipts) == [Reception.FILED, Reception.UNREADABLE, Reception.FILED]
    assert ledger.unreadable()[0].problem == "it could not be kept: KeyError"
    assert ledger.letters_owed() == {"webhook": 4}
    assert [entry.request.ticket for entry in ledger.find()] == ["T-2", "T-1"]


def test_deliveries_of_any_id_are_told_apart(ledger):
    names = ["", "x" * 10_000, "\0", "half \ud800", "ключ", "a\nb", "x" * 10_001]
    arrivals = [an_arrival(f"T-{n}", delivery=name or "") for n, name in enumerate(names)]
    arrivals = [replace(a, delivery_id=name) for a, name in zip(arrivals, names, strict=True)]
    assert set(receptions(ledger.accept(arrivals))) == {Reception.FILED}
    assert set(receptions(ledger.accept(arrivals))) == {Reception.REPEATED}


# Many at once


def test_threads_that_deliver_the_same_tickets_at_once_file_each_once(opened):
    ledgers = [opened(), opened()]
    arrivals = [an_arrival(f"T-{n}") for n in range(40)]

    def deliver(turn):
        mine = [replace(a, delivery_id=f"{turn % 3}-{a.ticket}") for a in arrivals]
        groups = [mine[n : n + 5] for n in range(0, 40, 5)]
        return [
            r for group in groups for r in ledgers[turn % 2].accept(group[:: 1 - 2 * (turn % 2)])
        ]

    with ThreadPoolExecutor(8) as pool:
        receipts = [r for some in pool.map(deliver, range(8)) for r in some]
    assert receptions(receipts).count(Reception.FILED) == 40
    assert receptions(receipts).count(Reception.REPEATED) == 7 * 40
    assert len(ledgers[0].find(limit=1000)) == 40
    assert len({receipt.request_id for receipt in receipts}) == 40


def test_the_deadline_is_the_judgement_s_whenever_the_ticket_is_taken_in(ledger, clock):
    clock.forward(5 * DAY)
    arrival = an_arrival("T-1")
    assert ledger.get(accept(ledger, arrival).request_id).due_at == arrival.judgement.due_at
