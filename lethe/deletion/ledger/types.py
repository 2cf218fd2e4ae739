"""What goes into the ledger and what comes out of it. Plain facts, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from lethe.data.selection import Kind
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State

# How a note begins that says what a request in progress waits for.
WAITS = "It waits: "


@dataclass(frozen=True)
class Move:
    """One line of a request's history.

    `before` is None for its filing and equal to `after` for a note. Times are UTC. `reason` is one
    line without anything personal.
    """

    at: datetime
    actor: str
    before: State | None
    after: State
    reason: str | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of a request beside what it asks; a field is None until it is known.

    Attributes:
        rows: training rows that it selects.
        share: largest of its share of the data set and of its shares of single classes, 0 to 1.
        missing: ids that it names and the data set does not have.
        parent: version that was edited, NAME/NUMBER.
        successor: version that forgot it, NAME/NUMBER.
        verdict: of the run that carried it out.
        run_id: MLflow run of that.
        statement: SHA-256 of the statement's canonical bytes.
        forget_accuracy: share of its own training rows that the successor still recognises.
    """

    rows: int | None = None
    share: float | None = None
    missing: int | None = None
    parent: str | None = None
    successor: str | None = None
    verdict: str | None = None
    run_id: str | None = None
    statement: str | None = None
    forget_accuracy: float | None = None


@dataclass(frozen=True)
class Entry:
    """A request as the ledger has it. `reason` is that of the last move.

    `policy` names the policy's version and digest that judged it, `reply` says where its source
    wants the answer (kept encrypted, for it may hold addresses), `approvals` are the actors who
    approved it, `held_from` the state a hold found it in, `human` whether a person approved it.
    `history` is oldest first. Since `purged_at` neither what it selected nor `reply` is kept;
    `selected_by` then says what kind of rows it selected.
    """

    request: DeletionRequest
    state: State
    reason: str | None
    updated_at: datetime
    due_at: datetime | None = None
    extendable_to: datetime | None = None
    extended: bool = False
    policy: str | None = None
    at_once: bool = False
    duplicate_of: str | None = None
    held_from: State | None = None
    approvals_needed: int = 0
    approvals: tuple[str, ...] = ()
    batch_id: str | None = None
    facts: Facts = Facts()
    reply: Mapping[str, Any] = field(default_factory=dict, repr=False)
    history: tuple[Move, ...] = ()
    purged_at: datetime | None = None
    selected_by: Kind | None = None

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id

    @property
    def selection_gone(self) -> bool:
        """Whether what it selected is no longer kept; then the request's own selection is None.

        A data set that was asked for as a whole is named in clear and never gone.
        """
        return self.purged_at is not None and self.selected_by is not None


@dataclass(frozen=True)
class Judgement:
    """What the policy says of a request: the state to put it in, and why.

    `state` is REJECTED, AWAITING_APPROVAL, APPROVED or HELD. `due_at` is the deadline by its
    regulation, `extendable_to` the furthest it may be moved. `at_once`: it does not wait for the
    next scheduled run.
    """

    state: State
    reason: str
    policy: str | None = None
    approvals_needed: int = 0
    at_once: bool = False
    due_at: datetime | None = None
    extendable_to: datetime | None = None


class ArrivalKind(StrEnum):
    """What an authentic delivery means."""

    FILE = "file"  # a ticket that asks for a deletion
    CANCEL = "cancel"  # its requester takes it back
    IGNORE = "ignore"  # an event that is about something else
    UNREADABLE = "unreadable"  # it asks for a deletion, but not of what


@dataclass(frozen=True)
class Arrival:
    """One authentic delivery of a source, read but not yet kept.

    `delivery_id` is the sender's own id of the delivery, equal when it repeats it. `request` and
    `judgement` are given for FILE. `problem` says for UNREADABLE which field is wrong, without its
    value. `reply` says where the answer goes.
    """

    source: str
    delivery_id: str
    kind: ArrivalKind
    ticket: str | None = None
    request: DeletionRequest | None = None
    judgement: Judgement | None = None
    problem: str | None = None
    reply: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Reception(StrEnum):
    """What became of an arrival."""

    FILED = "filed"
    REPEATED = "repeated"  # this delivery, or another of the same ticket, was there before
    CANCELLED = "cancelled"
    TOO_LATE = "too_late"  # a cancellation of what is being carried out, or was
    IGNORED = "ignored"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Receipt:
    """What became of an arrival, and the request it is about, if there is one."""

    reception: Reception
    request_id: str | None = None
    state: State | None = None


@dataclass(frozen=True)
class Batch:
    """Requests for one model that are carried out together, under a lease.

    `token` proves the lease; `attempt` counts how often it was taken up (1 at first); `rung` is
    the step of the policy's ladder to go on with. `entries` are the requests still in it.
    """

    id: str
    model: str
    token: str
    lease_until: datetime
    attempt: int
    rung: int
    entries: tuple[Entry, ...]
    parent_batch: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How one request of a batch ended: REGISTERED, REFUSED or FAILED, why, and its facts."""

    state: State
    reason: str
    facts: Facts = Facts()


@dataclass(frozen=True)
class Letter:
    """Something to be sent out: an answer, a notification, a trigger.

    `kind` names the sender, `key` is unique: the same key is kept once. `attempt` counts the
    sendings begun, this one included. `payload` is kept encrypted.
    """

    kind: str
    key: str
    payload: Mapping[str, Any] = field(repr=False)
    request_id: str | None = None
    id: int | None = None
    attempt: int = 0
    token: str = ""
