"""What the ledger should hold, worked out a second time and as simply as possible.

The state machine does everything to the ledger and to this, and compares. Nothing is shared with
the ledger's code but the names of the states, the table of moves and the types of what goes in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lethe.deletion.ledger.types import ArrivalKind, Reception
from lethe.deletion.states import ENDED, MOVES, OPEN, State

VOID = {State.REJECTED, State.CANCELLED}
FAR = datetime.max.replace(tzinfo=UTC)


class NotAllowed(Exception):  # noqa: N818 (a result, not a fault)
    """The ledger must refuse this with a RequestError."""


class Lost(NotAllowed):
    """The ledger must refuse this with a LeaseLostError."""


@dataclass
class Asked:
    """A request."""

    id: str
    model: str
    content: tuple
    judged: State
    needed: int
    due: datetime | None
    source: str | None = None
    ticket: str | None = None
    state: State = State.RECEIVED
    of: str | None = None
    held_from: State | None = None
    approvals: set = field(default_factory=set)
    batch: str | None = None
    ended: datetime | None = None
    purged: bool = False


@dataclass
class Work:
    """A batch."""

    id: str
    model: str
    token: str
    until: datetime | None
    members: list
    attempt: int = 1
    finished: bool = False


@dataclass
class Model:
    """A ledger in memory; `asked` and `work` in the order of their making."""

    clock: Callable[[], datetime]
    asked: dict = field(default_factory=dict)
    work: dict = field(default_factory=dict)
    deliveries: dict = field(default_factory=dict)

    def to(self, one, state):
        if state not in MOVES[one.state]:
            raise NotAllowed
        one.held_from = one.state if state == State.HELD else None
        self._set(one, state)
        if state in VOID:
            self._next_in_line(one)

    def _next_in_line(self, ended):
        waiting = [
            a for a in self.asked.values() if a.of == ended.id and a.state == State.DUPLICATE
        ]
        for other in waiting[1:]:
            other.of = waiting[0].id
        if waiting:
            waiting[0].of = None
            self._judge(waiting[0])

    def _set(self, one, state):
        one.state = state
        one.ended = self.clock() if state in ENDED else None

    def purge(self, before, owing):
        """How many requests and deliveries a purge must empty; `owing` are those that owe."""
        ended = [a for a in self.asked.values() if a.ended is not None and a.ended <= before]
        new = [a for a in ended if not a.purged and a.id not in owing]
        for one in new:
            one.purged = True
        after = [
            a
            for a in self.asked.values()
            if a.state == State.DUPLICATE and not a.purged and self.asked[a.of].purged
        ]
        for one in after:
            one.purged = True
        old = [
            key
            for key, (_, about, at) in self.deliveries.items()
            if about and self.asked[about].purged and at <= before
        ]
        for key in old:
            del self.deliveries[key]
        return len(new) + len(after), len(old)

    def _judge(self, one):
        self._set(one, one.judged)
        if one.judged == State.HELD:
            one.held_from = State.AWAITING_APPROVAL if one.needed else State.APPROVED

    def file(self, one):
        if one.judged == State.AWAITING_APPROVAL:
            one.needed = max(1, one.needed)
        first = next(
            (a for a in self.asked.values() if a.content == one.content and a.state in OPEN), None
        )
        self.asked[one.id] = one
        if first is None or one.judged == State.REJECTED:
            self._judge(one)
        else:
            one.state, one.of = State.DUPLICATE, first.id

    def accept(self, kind, delivery, source, ticket, one):
        """The receipt's reception, request id and state."""
        before = self.deliveries.get((source, delivery))
        if before is not None and before[0] != Reception.UNREADABLE:
            return self._receipt(Reception.REPEATED, before[1])
        reception, about = self._arrive(kind, source, ticket, one)
        if reception != Reception.IGNORED:
            self.deliveries[source, delivery] = reception, about, self.clock()
        return self._receipt(reception, about)

    def _arrive(self, kind, source, ticket, one):
        of_ticket = [a for a in self.asked.values() if (a.source, a.ticket) == (source, ticket)]
        if kind == ArrivalKind.FILE:
            live = [a for a in of_ticket if a.state not in VOID]
            if live:
                return Reception.REPEATED, live[0].id
            self.file(one)
            return Reception.FILED, one.id
        if kind == ArrivalKind.UNREADABLE:
            return Reception.UNREADABLE, None
        if kind == ArrivalKind.IGNORE or not of_ticket:
            return Reception.IGNORED, None
        return self._take_back(of_ticket[-1])

    def _take_back(self, last):
        if last.state == State.CANCELLED:
            return Reception.REPEATED, last.id
        if State.CANCELLED not in MOVES[last.state]:
            return Reception.TOO_LATE, last.id
        self.to(last, State.CANCELLED)
        return Reception.CANCELLED, last.id

    def _receipt(self, reception, about):
        return reception, about, self.asked[about].state if about else None

    def approve(self, one, actor):
        if one.state != State.AWAITING_APPROVAL:
            raise NotAllowed
        one.approvals.add(actor)
        if len(one.approvals) >= one.needed:
            one.state = State.APPROVED

    def require_approval(self, one):
        if one.state != State.APPROVED:
            raise NotAllowed
        if not one.approvals:
            one.state, one.needed = State.AWAITING_APPROVAL, 1

    def release(self, one):
        if one.state != State.HELD:
            raise NotAllowed
        one.state, one.held_from = one.held_from, None

    def retry(self, one):
        if one.purged or one.state not in {State.REFUSED, State.FAILED}:
            raise NotAllowed
        self._set(one, State.APPROVED)
        one.batch = None

    def next_work(self, now, limit):
        """What a claim must give: the batch taken up again, or the ids of a new one."""
        busy = {name_of(w.model) for w in self.unfinished() if w.until and w.until > now}
        for work in self.unfinished():
            if name_of(work.model) not in busy:
                return work, work.members
        begun = {name_of(w.model) for w in self.unfinished()}
        waiting = sorted(
            (
                a
                for a in self.asked.values()
                if a.state == State.APPROVED and name_of(a.model) not in begun
            ),
            key=lambda a: a.due or FAR,
        )
        same = [a.id for a in waiting if a.model == waiting[0].model]
        return None, same[:limit]

    def begin(self, batch):
        for name in (e.id for e in batch.entries):
            self.asked[name].state, self.asked[name].batch = State.IN_PROGRESS, batch.id
        self.work[batch.id] = Work(
            batch.id, batch.model, batch.token, batch.lease_until, [e.id for e in batch.entries]
        )

    def own(self, batch):
        work = self.work[batch.id]
        if work.token != batch.token or work.finished:
            raise Lost
        return work

    def renew(self, batch, now, lease):
        work = self.own(batch)
        others = [w for w in self.unfinished() if w is not work and w.until and w.until > now]
        if any(name_of(w.model) == name_of(work.model) for w in others):
            raise Lost
        work.until = now + lease

    def conclude(self, batch, states):
        work = self.own(batch)
        for name, state in states.items():
            self.to(self.asked[name], state)
            work.members.remove(name)
        if not work.members:
            work.finished, work.until = True, None

    def split(self, batch, groups, ids):
        work = self.own(batch)
        work.finished, work.until, work.members = True, None, []
        for new, group in zip(ids, groups, strict=True):
            for name in group:
                self.asked[name].batch = new
            self.work[new] = Work(new, batch.model, "", None, list(group), attempt=0)

    def unfinished(self):
        return [work for work in self.work.values() if not work.finished]


def name_of(model):
    return model.replace("/", "@").split("@")[0]
