"""Claims and leases: one worker per model, nothing lost with a worker, nothing done twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_tools import DAY, MINUTE, START, a_request, an_arrival, ids_in, judged

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.errors import LeaseLostError
from lethe.deletion.ledger.types import Facts, Outcome
from lethe.deletion.states import State
from lethe.errors import RequestError

DONE = Outcome(State.REGISTERED, "done", Facts(successor="digits/4"))


def file(ledger, *names, due=30, **request):
    for name in names:
        ledger.file(
            a_request(f"p-{name}", id=name, **request),
            judged(due_at=None if due is None else START + due * DAY),
            actor="cli",
        )


def claim(ledger, worker="worker-1", **changes):
    return ledger.claim(worker, **{"lease": MINUTE, "limit": 100, **changes})


# What makes a batch


def test_without_approved_requests_there_is_nothing_to_claim(ledger):
    assert claim(ledger) is None
    ledger.file(a_request(), judged(State.AWAITING_APPROVAL), actor="cli")
    ledger.file(a_request("p-2"), judged(State.HELD), actor="cli")
    assert claim(ledger) is None


def test_everything_for_one_model_and_data_set_is_one_batch(ledger, clock):
    file(ledger, "req-1", "req-2", "req-3")
    batch = claim(ledger)
    assert ids_in(batch) == ["req-1", "req-2", "req-3"]
    assert (batch.model, batch.attempt, batch.rung) == ("digits@champion", 1, 0)
    assert batch.lease_until == clock.now + MINUTE
    assert batch.parent_batch is None
    for entry in batch.entries:
        assert (entry.state, entry.batch_id) == (State.IN_PROGRESS, batch.id)
        assert ledger.get(entry.id).history[-1].actor == "worker-1"
    assert batch.token not in repr(ledger.get("req-1"))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "digits@staging"},
        {"dataset": "data/other"},
        {"evaluation": "data/held_out"},
        {"forget": ForgetSpec(dataset="data/digits", rev="v2")},
        {"forget": ForgetSpec(dataset="data/digits", repository="../other")},
        {"forget": ForgetSpec(dataset="data/digits", whole=True)},
    ],
)
def test_what_differs_in_more_than_its_rows_is_a_batch_of_its_own(ledger, changes):
    file(ledger, "req-1")
    file(ledger, "req-2", **changes)
    assert ids_in(claim(ledger)) == ["req-1"]


def test_the_kind_of_selection_makes_no_difference(ledger):
    file(ledger, "req-1")
    file(
        ledger,
        "req-2",
        forget=ForgetSpec(dataset="data/digits", selection=Selection(classes=("3",))),
    )
    assert len(ids_in(claim(ledger))) == 2


def test_the_most_urgent_request_goes_first_and_those_without_deadline_last(ledger):
    file(ledger, "req-none", due=None, model="a@x")
    file(ledger, "req-late", due=40, model="b@x")
    file(ledger, "req-soon", due=10, model="c@x")
    batches = [claim(ledger) for _ in range(3)]
    assert [ids_in(b) for b in batches] == [["req-soon"], ["req-late"], ["req-none"]]


def test_a_batch_takes_the_most_urgent_up_to_its_limit(ledger):
    file(ledger, "req-1", due=30)
    file(ledger, "req-2", due=10)
    file(ledger, "req-3", due=20)
    first = claim(ledger, limit=2)
    assert ids_in(first) == ["req-2", "req-3"]
    ledger.conclude(first, dict.fromkeys(ids_in(first), DONE))
    assert ids_in(claim(ledger)) == ["req-1"]


def test_models_can_be_chosen_by_name_or_by_alias(ledger):
    file(ledger, "req-1", due=1)
    file(ledger, "req-2", model="watch@champion")
    file(ledger, "req-3", model="watch/2", due=3)
    assert claim(ledger, models=["cwru", "watch@staging"]) is None
    assert claim(ledger, models=[]) is None
    second = claim(ledger, models=["watch@champion"])
    assert ids_in(second) == ["req-2"]
    ledger.conclude(second, {"req-2": DONE})
    assert ids_in(claim(ledger, models=["watch"])) == ["req-3"]


def test_requests_can_be_chosen(ledger):
    file(ledger, "req-1", "req-2", "req-3")
    assert claim(ledger, ids=["req-9"]) is None
    assert claim(ledger, ids=[]) is None
    batch = claim(ledger, ids=["req-3", "req-1"])
    assert ids_in(batch) == ["req-1", "req-3"]


# One at a time


def test_no_model_has_two_leases_whatever_its_alias(ledger):
    file(ledger, "req-1")
    file(ledger, "req-2", model="digits@staging")
    file(ledger, "req-3", model="digits/7")
    first = claim(ledger)
    assert claim(ledger, "worker-2") is None
    ledger.conclude(first, {"req-1": DONE})
    assert claim(ledger, "worker-2") is not None


def test_two_models_are_carried_out_at_the_same_time(ledger):
    file(ledger, "req-1")
    file(ledger, "req-2", model="digits-large@champion")
    assert {ids_in(claim(ledger))[0], ids_in(claim(ledger, "worker-2"))[0]} == {
        "req-1",
        "req-2",
    }


def test_many_threads_that_claim_at_once_never_get_the_same_request(opened):
    ledgers = [opened(), opened()]
    for n in range(12):
        file(ledgers[0], f"req-{n}", model=f"model-{n % 6}@champion")

    def work(n):
        found = []
        while (batch := claim(ledgers[n % 2], f"worker-{n}", limit=1)) is not None:
            found.append(batch)
            ledgers[n % 2].conclude(batch, dict.fromkeys(ids_in(batch), DONE))
        return found

    with ThreadPoolExecutor(6) as pool:
        batches = [batch for some in pool.map(work, range(6)) for batch in some]
    batches += work(0)  # a model may have been busy when everybody looked
    assert sorted(name for b in batches for name in ids_in(b)) == sorted(
        f"req-{n}" for n in range(12)
    )


def test_what_arrives_later_waits_for_what_is_being_carried_out(ledger, clock):
    file(ledger, "req-1")
    claim(ledger)
    file(ledger, "req-2", due=1)
    clock.forward(2 * MINUTE)
    # The dead worker's batch first, even though the new request is more urgent.
    assert ids_in(claim(ledger, "worker-2")) == ["req-1"]
    assert claim(ledger, "worker-2", ids=["req-2"]) is None


# Leases


def test_a_dead_worker_s_batch_is_taken_up_when_its_lease_has_run_out(ledger, clock):
    file(ledger, "req-1", "req-2")
    first = claim(ledger)
    clock.forward(0.99 * MINUTE)
    assert claim(ledger, "worker-2") is None
    clock.forward(0.02 * MINUTE)
    second = claim(ledger, "worker-2")
    assert (second.id, second.attempt) == (first.id, 2)
    assert second.token != first.token
    assert ids_in(second) == ids_in(first)


@pytest.mark.parametrize(
    "act",
    [
        lambda ledger, batch: ledger.renew(batch, MINUTE),
        lambda ledger, batch: ledger.climb(batch, 1),
        lambda ledger, batch: ledger.conclude(batch, {"req-1": DONE}),
        lambda ledger, batch: ledger.split(batch, [["req-1"]]),
        lambda ledger, batch: ledger.surrender(batch),
    ],
)
def test_a_worker_that_lost_its_lease_changes_nothing_any_more(ledger, clock, act):
    file(ledger, "req-1")
    old = claim(ledger)
    clock.forward(2 * MINUTE)
    new = claim(ledger, "worker-2")
    before = ledger.get("req-1")
    with pytest.raises(LeaseLostError):
        act(ledger, old)
    assert ledger.get("req-1") == before
    assert ledger.renew(new, MINUTE).entries == new.entries


def test_a_late_worker_may_finish_if_nobody_took_its_place(ledger, clock):
    file(ledger, "req-1")
    batch = claim(ledger)
    clock.forward(2 * MINUTE)
    renewed = ledger.renew(batch, MINUTE)
    assert renewed.lease_until == clock.now + MINUTE
    assert claim(ledger, "worker-2") is None
    clock.forward(2 * MINUTE)
    ledger.conclude(batch, {"req-1": DONE})
    assert ledger.get("req-1").state == State.REGISTERED


def test_a_late_worker_stops_if_another_batch_of_the_model_was_begun(ledger, clock):
    file(ledger, "req-1", "req-2")
    ledger.split(claim(ledger), [["req-1"], ["req-2"]])
    late = claim(ledger)
    clock.forward(2 * MINUTE)
    assert ids_in(claim(ledger, "worker-2", ids=["req-2"])) == ["req-2"]
    with pytest.raises(LeaseLostError):
        ledger.renew(late, MINUTE)


def test_a_surrendered_batch_goes_to_the_next_claim_at_once(ledger):
    file(ledger, "req-1")
    first = claim(ledger)
    ledger.climb(first, 2)
    ledger.surrender(first)
    ledger.surrender(first)
    second = claim(ledger, "worker-2")
    assert (second.id, second.rung) == (first.id, 2)
    # Who could say so did not die of it.
    assert second.attempt == 1


def test_a_batch_can_be_passed_over_for_others(ledger):
    file(ledger, "req-1", due=1)
    file(ledger, "req-2", model="watch@champion")
    stuck = claim(ledger)
    ledger.surrender(stuck)
    assert ids_in(claim(ledger, skip=[stuck.id])) == ["req-2"]
    assert claim(ledger, skip=[stuck.id]) is None
    assert claim(ledger).id == stuck.id


def test_the_leases_of_workers_known_to_be_gone_end_at_once(ledger):
    file(ledger, "req-1")
    file(ledger, "req-2", model="watch@champion")
    dead, alive = claim(ledger, "dead"), claim(ledger, "alive")
    assert ledger.many.free(lambda worker: worker == "dead") == [dead.id]
    assert claim(ledger, "worker-3").id == dead.id
    assert ledger.renew(alive, MINUTE).id == alive.id


def test_the_rung_of_the_ladder_is_remembered(ledger, clock):
    file(ledger, "req-1")
    batch = ledger.climb(claim(ledger), 1)
    assert batch.rung == 1
    clock.forward(2 * MINUTE)
    assert claim(ledger, "worker-2").rung == 1


def test_the_caller_may_say_what_time_it_is(ledger, clock):
    file(ledger, "req-1")
    claim(ledger)
    assert claim(ledger, now=clock.now + DAY).lease_until == clock.now + DAY + MINUTE


# How a batch ends


def test_each_request_ends_with_its_own_outcome(ledger):
    file(ledger, "req-1", "req-2", "req-3")
    batch = claim(ledger)
    outcomes = {
        "req-1": DONE,
        "req-2": Outcome(State.REFUSED, "a gate failed", Facts(verdict="refused")),
        "req-3": Outcome(State.FAILED, "no such rows"),
    }
    assert ledger.conclude(batch, outcomes).entries == ()
    for name, outcome in outcomes.items():
        entry = ledger.get(name)
        assert (entry.state, entry.reason) == (outcome.state, outcome.reason)
        assert (entry.facts, entry.batch_id) == (outcome.facts, batch.id)
        assert entry.history[-1].actor == "worker-1"
    assert claim(ledger) is None


def test_a_batch_goes_on_with_what_is_left(ledger, clock):
    file(ledger, "req-1", "req-2")
    batch = ledger.conclude(claim(ledger), {"req-1": DONE})
    assert ids_in(batch) == ["req-2"]
    clock.forward(2 * MINUTE)
    assert ids_in(claim(ledger, "worker-2")) == ["req-2"]


def test_the_same_conclusion_again_changes_nothing(ledger):
    file(ledger, "req-1", "req-2")
    batch = claim(ledger)
    ledger.conclude(batch, {"req-1": DONE})
    ledger.conclude(batch, {"req-1": DONE, "req-2": DONE})
    before = [ledger.get(name) for name in ("req-1", "req-2")]
    ledger.conclude(batch, {"req-1": DONE, "req-2": DONE})
    assert [ledger.get(name) for name in ("req-1", "req-2")] == before


def test_a_finished_batch_is_not_concluded_otherwise(ledger):
    file(ledger, "req-1")
    batch = claim(ledger)
    ledger.conclude(batch, {"req-1": DONE})
    with pytest.raises(LeaseLostError):
        ledger.conclude(batch, {"req-1": Outcome(State.FAILED, "no")})
    for act in (lambda: ledger.renew(batch, MINUTE), lambda: ledger.climb(batch, 1)):
        with pytest.raises(LeaseLostError):
            act()
    ledger.surrender(batch)
    assert ledger.get("req-1").state == State.REGISTERED


def test_outcomes_of_strangers_and_outcomes_that_are_none_are_refused(ledger):
    file(ledger, "req-1")
    file(ledger, "req-2", model="watch@champion")
    batch = claim(ledger, models=["digits"])
    for outcomes in ({"req-1": DONE, "req-2": DONE}, {"req-9": DONE}):
        with pytest.raises(RequestError, match="Nothing was changed"):
            ledger.conclude(batch, outcomes)
    for state in set(State) - {State.REGISTERED, State.REFUSED, State.FAILED}:
        with pytest.raises(RequestError, match="Nothing was changed"):
            ledger.conclude(batch, {"req-1": Outcome(state, "no")})
    assert ledger.get("req-1").state == State.IN_PROGRESS


def test_a_batch_is_split_into_batches_that_are_claimed_in_order(ledger):
    file(ledger, "req-1", "req-2", "req-3", "req-4")
    batch = ledger.climb(claim(ledger), 2)
    ids = ledger.split(batch, [["req-3"], [], ["req-4", "req-1"], ["req-2"]])
    file(ledger, "req-5", due=1)
    taken = []
    while (part := claim(ledger)) is not None:
        taken.append(part)
        assert claim(ledger, "worker-2") is None
        ledger.conclude(part, dict.fromkeys(ids_in(part), DONE))
    assert [ids_in(part) for part in taken] == [
        ["req-3"],
        ["req-1", "req-4"],
        ["req-2"],
        ["req-5"],
    ]
    assert [part.id for part in taken[:3]] == ids
    assert {part.parent_batch for part in taken[:3]} == {batch.id}
    assert {(part.attempt, part.rung) for part in taken} == {(1, 0)}


@pytest.mark.parametrize(
    "groups",
    [[["req-1"]], [["req-1"], ["req-1", "req-2"]], [["req-1", "req-2", "req-9"]], []],
)
def test_a_split_must_keep_every_request_exactly_once(ledger, groups):
    file(ledger, "req-1", "req-2")
    batch = claim(ledger)
    with pytest.raises(RequestError, match="exactly"):
        ledger.split(batch, groups)
    assert ids_in(ledger.renew(batch, MINUTE)) == ["req-1", "req-2"]


def test_what_was_concluded_is_not_split(ledger):
    file(ledger, "req-1", "req-2", "req-3")
    batch = ledger.conclude(claim(ledger), {"req-1": DONE})
    with pytest.raises(RequestError, match="exactly"):
        ledger.split(batch, [["req-1"], ["req-2", "req-3"]])
    ledger.split(batch, [["req-2"], ["req-3"]])
    with pytest.raises(LeaseLostError):
        ledger.renew(batch, MINUTE)


def test_a_thousand_requests_are_one_batch(ledger):
    ledger.accept([an_arrival(f"T-{n}") for n in range(1000)])
    batch = claim(ledger, limit=1000)
    assert len({entry.id for entry in batch.entries}) == 1000
    ledger.conclude(batch, dict.fromkeys(ids_in(batch), DONE))
    assert ledger.counts()[State.REGISTERED] == 1000
