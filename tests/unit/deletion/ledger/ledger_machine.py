"""Everything that can be done to a ledger, in any order, with crashes in between (Hypothesis).

After every step the ledger must hold what the model (`ledger_model`) holds, and its tables must be
sound in themselves. Subclasses say where a ledger with nothing in it is: `fresh()` gives its URL.
"""

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ledger_model import Asked, Lost, Model, NotAllowed
from ledger_soundness import (
    check_batches,
    check_duplicates,
    check_histories,
    check_letters,
    key_of,
)
from ledger_tools import DAY, KEY, START, Clock, a_request, judged
from sqlalchemy import select

from lethe.deletion.ledger.errors import LeaseLostError
from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.retention import WORDS, Purged, ceiling
from lethe.deletion.ledger.tables import batches, letters, moves, requests
from lethe.deletion.ledger.types import Arrival, ArrivalKind, Letter, Outcome
from lethe.deletion.states import ANSWERED, ENDED, State
from lethe.errors import RequestError

LEASE = timedelta(minutes=1)
SUBJECTS = tuple(f"p-{n}" for n in range(5))
MODELS = ("digits@champion", "digits/3", "watch@champion")
ENDS = (State.REGISTERED, State.REFUSED, State.FAILED)
NUMBERS = st.integers(0, 1000)
# Mostly one model and mostly approved, so that there is much to batch, to split and to repeat.
CONTENTS = st.tuples(st.sampled_from((MODELS[0], *MODELS)), st.sampled_from(SUBJECTS))
JUDGEMENTS = st.tuples(
    st.sampled_from((*[State.APPROVED] * 5, State.AWAITING_APPROVAL, State.HELD, State.REJECTED)),
    st.integers(0, 2),
    st.sampled_from((None, 1, 2, 3)),
)
ARRIVALS = st.tuples(
    st.sampled_from((*ArrivalKind, ArrivalKind.FILE, ArrivalKind.FILE)),
    st.integers(0, 14),
    st.sampled_from(("tracker", "portal")),
    st.sampled_from(("T-1", "T-2", "T-3", "T-4")),
    CONTENTS,
    JUDGEMENTS,
)


class Killed(BaseException):
    """The process dies in the middle of a transaction."""


class LedgerMachine(RuleBasedStateMachine):
    """Drives a ledger and its model. `steps` counts steps, and moves by the state they led to."""

    steps: ClassVar[Counter] = Counter()

    def fresh(self):
        raise NotImplementedError

    @initialize(first=st.lists(st.tuples(CONTENTS, JUDGEMENTS), min_size=4, max_size=10))
    def start(self, first):
        self.url, self.clock, self.made = self.fresh(), Clock(), {}
        self.model = Model(self.clock)
        self.handles, self.sent, self.number, self.dies_in, self.seen = [], set(), 0, 0, 0
        self.ledger = self.open()
        for content, how in first:
            self.file(content, how)

    def open(self):
        return open_ledger(self.url, key=KEY, clock=self.clock, announce=self.announce)

    def announce(self, entry, move):
        if self.dies_in:
            self.dies_in -= 1
            if not self.dies_in:
                raise Killed
        if move.after not in ANSWERED:
            return []
        return [Letter("answer", key_of(entry.id, move.after, move.at), {"n": 1}, entry.id)]

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()

    # What may be done

    @rule(content=CONTENTS, how=JUDGEMENTS)
    def file(self, content, how):
        request, judgement, asked = self.new(content, how)
        entry = self.ledger.file(request, judgement, actor="cli")
        self.model.file(asked)
        assert entry.state == asked.state

    @rule(pick=NUMBERS)
    @precondition(lambda self: self.model.asked)
    def file_again(self, pick):
        one = self.pick(pick)
        entry = self.ledger.get(one.id)
        same = self.made[one.id]
        assert self.ledger.file(same, judged(State.REJECTED), actor="other") == entry

    @rule(group=st.lists(ARRIVALS, min_size=1, max_size=5))
    def accept(self, group):
        made = [self.arrival(*one) for one in group]
        receipts = self.ledger.accept([arrival for arrival, _ in made])
        for (arrival, asked), receipt in zip(made, receipts, strict=True):
            a = arrival
            expected = self.model.accept(a.kind, a.delivery_id, a.source, a.ticket, asked)
            assert (receipt.reception, receipt.request_id, receipt.state) == expected

    @rule(pick=NUMBERS, actor=st.sampled_from(("dpo", "owner")))
    @precondition(lambda self: self.has(State.AWAITING_APPROVAL))
    def approve(self, pick, actor):
        one = self.pick(pick, State.AWAITING_APPROVAL)
        with self.same(lambda: self.model.approve(one, actor)):
            self.ledger.approve(one.id, actor=actor)

    @rule(pick=NUMBERS, what=st.sampled_from(("hold", "cancel", "reject")))
    @precondition(lambda self: self.model.asked)
    def stop(self, pick, what):
        one = self.pick(pick)
        to = {"hold": State.HELD, "cancel": State.CANCELLED, "reject": State.REJECTED}[what]
        with self.same(lambda: self.model.to(one, to)):
            getattr(self.ledger, what)(one.id, actor="dpo", reason="because")

    @rule(pick=NUMBERS)
    @precondition(lambda self: self.has(State.DUPLICATE))
    def give_up_what_others_repeat(self, pick):
        repeated = sorted({a.of for a in self.model.asked.values() if a.state == State.DUPLICATE})
        one = self.model.asked[repeated[pick % len(repeated)]]
        self.clock.forward(timedelta(milliseconds=1))
        with self.same(lambda: self.model.to(one, State.CANCELLED)):
            self.ledger.cancel(one.id, actor="dpo")

    @rule(pick=NUMBERS)
    @precondition(lambda self: self.has(State.HELD))
    def release(self, pick):
        one = self.pick(pick, State.HELD)
        with self.same(lambda: self.model.release(one)):
            self.ledger.release(one.id, actor="dpo")

    @rule(pick=NUMBERS)
    @precondition(lambda self: self.has(State.REFUSED, State.FAILED))
    def retry(self, pick):
        one = self.pick(pick, State.REFUSED, State.FAILED)
        with self.same(lambda: self.model.retry(one)):
            self.ledger.retry(one.id, actor="operator")

    @rule(pick=NUMBERS)
    @precondition(lambda self: self.has(State.APPROVED))
    def require_approval(self, pick):
        one = self.pick(pick, State.APPROVED)
        with self.same(lambda: self.model.require_approval(one)):
            self.ledger.require_approval(one.id, needed=1, reason="large", actor="policy")

    @rule(pick=NUMBERS, to=st.sampled_from((State.PROMOTED, State.COMPLETED, State.PARTIAL)))
    @precondition(lambda self: self.has(State.REGISTERED, State.PROMOTED))
    def settle(self, pick, to):
        one = self.pick(pick, State.REGISTERED, State.PROMOTED)
        with self.same(lambda: self.model.to(one, to)):
            self.ledger.move(one.id, to, actor="flow")

    @rule(limit=st.integers(1, 4))
    @precondition(lambda self: self.has(State.APPROVED, State.IN_PROGRESS))
    def claim(self, limit):
        again, ids = self.model.next_work(self.clock.now, limit)
        batch = self.ledger.claim("worker", lease=LEASE, limit=limit)
        if not ids:
            assert batch is None
            return
        assert sorted(e.id for e in batch.entries) == sorted(ids)
        if again is None:
            self.model.begin(batch)
        else:
            assert (batch.id, batch.attempt) == (again.id, again.attempt + 1)
            again.token, again.until, again.attempt = batch.token, batch.lease_until, batch.attempt
        self.handles.append(batch)

    @rule(pick=NUMBERS)
    @precondition(lambda self: self.handles)
    def renew(self, pick):
        batch = self.handle(pick)
        with self.same(lambda: self.model.renew(batch, self.clock.now, LEASE)):
            self.ledger.renew(batch, LEASE)

    @rule(pick=NUMBERS, ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=4))
    @precondition(lambda self: self.handles)
    def conclude(self, pick, ends):
        self.end(self.handle(pick), ends)

    def end(self, batch, ends):
        if self.model.work[batch.id].token == batch.token:
            members = self.model.work[batch.id].members
        else:
            members = [entry.id for entry in batch.entries]
        states = dict(zip(members, ends, strict=False))
        if not states:
            return
        with self.same(lambda: self.model.conclude(batch, states)):
            outcomes = {name: Outcome(state, "ended") for name, state in states.items()}
            self.ledger.conclude(batch, outcomes)

    @rule(at=st.integers(1, 2))
    @precondition(lambda self: self.has(State.APPROVED, State.IN_PROGRESS))
    def claim_and_split(self, at):
        before = len(self.handles)
        self.claim(4)
        for batch in self.handles[before:]:
            self.part(batch, at)

    @rule(limit=st.integers(1, 4), ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=4))
    @precondition(lambda self: self.has(State.APPROVED, State.IN_PROGRESS))
    def carry_out(self, limit, ends):
        before = len(self.handles)
        self.claim(limit)
        for batch in self.handles[before:]:
            self.end(batch, ends)

    @rule(pick=NUMBERS, at=st.integers(0, 4))
    @precondition(lambda self: self.handles)
    def split(self, pick, at):
        self.part(self.handle(pick), at)

    def part(self, batch, at):
        members = list(self.model.work[batch.id].members)
        groups = [part for part in (members[:at], members[at:]) if part]
        ids = []
        with self.same(lambda: self.model.split(batch, groups, ids)):
            ids += self.ledger.split(batch, groups)

    @rule(pick=NUMBERS)
    @precondition(lambda self: self.handles)
    def surrender(self, pick):
        batch = self.handle(pick)
        work = self.model.work[batch.id]
        if work.token != batch.token:
            try:
                self.ledger.surrender(batch)
            except LeaseLostError:
                return
            raise AssertionError
        self.ledger.surrender(batch)
        if work.until is not None and not work.finished:
            work.until, work.attempt = None, work.attempt - 1

    @rule(seconds=st.sampled_from((1, 45, 61)))
    def time_passes(self, seconds):
        self.clock.forward(timedelta(seconds=seconds))

    @rule(days=st.sampled_from((0, 20, 40)), answered=st.booleans())
    @precondition(lambda self: self.has(*ENDED))
    def purge(self, days, answered):
        self.clock.forward(timedelta(days=days))
        if answered:
            self.send(1000, arrive=True)
        owing = {row.request_id for row in self.tables()["letters"] if row.sent_at is None}
        due = self.ledger.retention.due(1)
        done = self.ledger.retention.purge_all(1, actor="flow")
        emptied, deleted = self.model.purge(ceiling(self.clock.now, 1), owing)
        assert done == due == Purged(emptied, 0, deleted)
        self.steps["purged"] += emptied

    @rule(limit=st.integers(1, 5), arrive=st.booleans())
    def send(self, limit, arrive):
        for letter in self.ledger.letters_due("courier", lease=LEASE, limit=limit):
            assert letter.key not in self.sent
            if arrive:
                self.ledger.sent(letter)
                self.sent.add(letter.key)

    @rule()
    def crash_between(self):
        self.ledger.close()
        self.ledger = self.open()

    @rule(pick=NUMBERS, content=CONTENTS, how=JUDGEMENTS)
    def crash_inside(self, pick, content, how):
        """Whatever is under way when the process dies has not happened."""
        request, judgement, _ = self.new(content, how)
        one = self.pick(pick)
        acts = [
            (2, lambda: self.ledger.file(request, judgement, actor="cli")),
            (1, lambda: self.ledger.cancel(one.id, actor="dpo")),
        ]
        again, ids = self.model.next_work(self.clock.now, 4)
        if again is None and ids:
            acts.append((len(ids), lambda: self.ledger.claim("worker", lease=LEASE, limit=4)))
        most, act = acts[pick % len(acts)]
        before = self.tables()
        self.dies_in = 1 + pick % most
        try:
            act()
        except (Killed, RequestError):
            self.dies_in = 0
        assert not self.dies_in
        self.ledger.close()
        self.ledger = self.open()
        assert self.tables() == before

    # Help

    def new(self, content, how, source="cli", ticket=None):
        self.number += 1
        self.clock.forward(timedelta(milliseconds=1))
        state, needed, days = how
        due = None if days is None else START + days * DAY
        model, subject = content
        name = f"req-{self.number}"
        request = a_request(subject, id=name, model=model, source=source, ticket=ticket)
        self.made[name] = request
        judgement = judged(state, approvals_needed=needed, due_at=due)
        of = {"source": source, "ticket": ticket} if ticket else {}
        return request, judgement, Asked(name, model, content, state, needed, due, **of)

    def arrival(self, kind, delivery, source, ticket, content, how):
        request, judgement, asked = self.new(content, how, source, ticket)
        problem = "a field is wrong" if kind == ArrivalKind.UNREADABLE else None
        given = (request, judgement) if kind == ArrivalKind.FILE else (None, None)
        return Arrival(source, f"d-{delivery}", kind, ticket, *given, problem), asked

    def has(self, *states):
        return any(a.state in states for a in self.model.asked.values())

    def pick(self, number, *preferred):
        """Some request; mostly one in a state where something can be done with it."""
        self.clock.forward(timedelta(milliseconds=1))
        wanted = [a for a in self.model.asked.values() if a.state in preferred]
        among = wanted if wanted and number % 5 else list(self.model.asked.values())
        return among[number % len(among)]

    def handle(self, number):
        """Some batch a worker once had; mostly the latest."""
        self.clock.forward(timedelta(milliseconds=1))
        among = self.handles[-2:] if number % 4 else self.handles
        return among[number % len(among)]

    @contextmanager
    def same(self, expected):
        """The ledger refuses what the model refuses, and does what the model does."""
        refused = None
        try:
            yield
        except RequestError as error:
            refused = error
        try:
            expected()
        except Lost:
            assert isinstance(refused, LeaseLostError)
        except NotAllowed:
            assert isinstance(refused, RequestError)
        else:
            assert refused is None

    def tables(self):
        def read(tx):
            return {
                table.name: tx.sql.execute(select(table).order_by(table.c.seq)).all()
                for table in (requests, moves, batches, letters)
            }

        return self.ledger._run.read(read)

    # What must hold

    @invariant()
    def holds_what_it_should(self):
        if not hasattr(self, "ledger"):
            return
        found = self.tables()
        rows = {row.id: row for row in found["requests"]}
        held = {
            name: (State(r.state), r.duplicate_of, r.batch_id, r.held_from and State(r.held_from))
            for name, r in rows.items()
        }
        assert held == {
            a.id: (a.state, a.of, a.batch, a.held_from) for a in self.model.asked.values()
        }
        gone = {name for name, row in rows.items() if row.selection is None}
        assert gone == {a.id for a in self.model.asked.values() if a.purged}
        assert gone == {line.request_id for line in found["moves"] if line.reason == WORDS}
        assert {n: r.ended_at for n, r in rows.items()} == {
            a.id: a.ended for a in self.model.asked.values()
        }
        check_histories(rows, found["moves"])
        check_duplicates(rows)
        check_batches(rows, found["batches"], self.clock.now)
        check_letters(found["moves"], found["letters"], self.sent)
        new = found["moves"][self.seen :]
        self.steps.update(["steps", *(line.after for line in new if line.before != line.after)])
        self.seen += len(new)
