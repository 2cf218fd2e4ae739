"""What the ledger's tests share: requests, judgements, deliveries, a clock that is set by hand."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.types import Arrival, ArrivalKind, Judgement, Letter
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State

KEY = bytes(range(32))
START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@dataclass
class Clock:
    """The time, as the test wants it."""

    now: datetime = START

    def __call__(self):
        return self.now

    def forward(self, by):
        self.now += by


@dataclass
class Announced:
    """Owes one letter per move, and remembers what it was told."""

    told: list = field(default_factory=list)

    def __call__(self, entry, move):
        self.told.append((entry, move))
        key = f"{entry.id}:{move.after}:{len(self.told)}"
        return [Letter("webhook", key, {"to": f"canary-{entry.id}"}, entry.id)]


def ids_in(batch):
    return [entry.id for entry in batch.entries]


def a_request(subject="p-1", *, model="digits@champion", dataset="data/digits", **changes):
    forget = ForgetSpec(dataset=dataset, selection=Selection(subjects=(subject,)))
    return DeletionRequest(**{"model": model, "forget": forget, "received_at": START, **changes})


def judged(state=State.APPROVED, **changes):
    values = {"reason": "by the policy", "policy": "2026-11@sha256:0", "due_at": START + 30 * DAY}
    return Judgement(state, **{**values, **changes})


def an_arrival(
    ticket, subject=None, *, delivery=None, source="tracker", state=State.APPROVED, **of
):
    """A delivery that files a ticket; by default of a subject of its own."""
    request = a_request(subject or f"p-{ticket}", source=source, ticket=ticket, **of)
    return Arrival(
        source,
        delivery or f"delivery-{ticket}",
        ArrivalKind.FILE,
        ticket,
        request,
        judged(state),
        reply={"url": f"https://example.org/{ticket}"},
    )


def taken_back(ticket, *, delivery=None, source="tracker"):
    return Arrival(source, delivery or f"back-{ticket}", ArrivalKind.CANCEL, ticket)


def unread(ticket, *, delivery=None, source="tracker", problem="the field model is missing"):
    return Arrival(
        source, delivery or f"delivery-{ticket}", ArrivalKind.UNREADABLE, ticket, problem=problem
    )


def states_of(entry):
    """The states that a request went through, notes left out."""
    return [m.after for m in entry.history if m.before != m.after]
