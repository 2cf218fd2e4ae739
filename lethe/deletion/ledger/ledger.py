"""The ledger's face: every deletion request, every move of it, and every answer that is owed.

with open_ledger(settings.ledger_url, key=record_key(settings.record_key_file)) as ledger:
    entry = ledger.file(request, judgement, actor="cli")
    batch = ledger.claim("worker-1", lease=timedelta(minutes=5), limit=1000)

Every method that changes something is one transaction: it has happened whole when the method
returns, and not at all if the process was killed before. Whoever does not know may call again.
Several processes and threads may use one ledger at the same time, on SQLite and on PostgreSQL.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from sqlalchemy import select

from lethe.deletion.ledger import arrivals, batches, claims, filing, outbox, read, requests
from lethe.deletion.ledger.engine import Database
from lethe.deletion.ledger.errors import LedgerUnavailableError
from lethe.deletion.ledger.filing import Filing
from lethe.deletion.ledger.many import Many
from lethe.deletion.ledger.migrate import migrate
from lethe.deletion.ledger.read import Filter, Unread
from lethe.deletion.ledger.retention import Retention
from lethe.deletion.ledger.statements import Statements
from lethe.deletion.ledger.transaction import Announce, Transactions, checked_actor
from lethe.deletion.ledger.types import (
    Arrival,
    Batch,
    Entry,
    Facts,
    Judgement,
    Letter,
    Outcome,
    Receipt,
)
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.deletion.vault import Vault

__all__ = ["Ledger", "Unread", "open_ledger"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def open_ledger(
    url: str,
    *,
    key: bytes,
    announce: Announce | None = None,
    clock: Callable[[], datetime] = _utc_now,
) -> "Ledger":
    """Open a ledger; one that is new or old is brought to the present form first.

    Args:
        url: SQLAlchemy URL of a SQLite file or a PostgreSQL database.
        key: the record key; selections, replies and letters are encrypted with it.
        announce: called for every move, inside its transaction; the letters it returns are kept
            with the move. The entry it gets is without history.
        clock: the time; aware.

    Raises:
        SettingsError: if the address is wrong, the ledger is newer than this version of Lethe, or
            it was written with another key.
        LedgerUnavailableError: if the database cannot be reached.
    """
    database, vault = Database(url), Vault(key)
    try:
        migrate(database, vault)
    except BaseException:
        database.close()
        raise
    return Ledger(Transactions(database, vault, announce, clock))


class Ledger:
    """Deletion requests and what is owed for them; made by `open_ledger`. Thread-safe."""

    def __init__(self, transactions: Transactions) -> None:
        self._run = transactions
        self.many = Many(transactions)
        self.statements = Statements(transactions)
        self.retention = Retention(transactions)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the database's connections back."""
        self._run.database.close()

    @property
    def url_kind(self) -> str:
        """Which database it is in: "sqlite" or "postgresql"."""
        return self._run.database.kind

    # Filing and taking in

    def file(
        self,
        request: DeletionRequest,
        judgement: Judgement,
        *,
        actor: str,
        reply: Mapping[str, Any] | None = None,
    ) -> Entry:
        """File a request. It becomes what it was judged to be, or a duplicate of an open one.

        The very same request again returns what is there.

        Raises:
            RequestError: if another request has its id.
        """
        new = Filing(request, judgement, checked_actor(actor), reply or {})
        return self._run.write(filing.file, new)

    def accept(self, arrivals_: Sequence[Arrival]) -> list[Receipt]:
        """Take deliveries in, all in one transaction; one receipt each, in their order."""
        try:
            return self._run.write(arrivals.accept, arrivals_)
        except LedgerUnavailableError:
            raise
        except Exception:  # noqa: BLE001 (one of them cannot be kept; find out which)
            return self._run.write(arrivals.accept_singly, arrivals_)

    # Reading

    def get(self, request_id: str) -> Entry:
        """A request with its history.

        Raises:
            RequestError: if there is none.
        """
        return self._run.read(read.get, request_id)

    def find(
        self,
        *,
        states: Collection[State] | None = None,
        model: str | None = None,
        source: str | None = None,
        ticket: str | None = None,
        batch_id: str | None = None,
        due_before: datetime | None = None,
        duplicate_of: str | None = None,
        limit: int = 100,
        after: str | None = None,
        newest_first: bool = True,
    ) -> list[Entry]:
        """Requests that match everything given, by the order of filing, without histories.

        Args:
            states: in one of these.
            model: NAME@ALIAS, NAME/NUMBER, or NAME for all of these.
            source: where they came from.
            ticket: key of their ticket.
            batch_id: the batch they are or were in last.
            due_before: with a deadline before this.
            duplicate_of: that repeat this one.
            limit: at most so many.
            after: id of the last entry of the page before.
            newest_first: order.

        Raises:
            RequestError: if there is no request `after`.
        """
        wanted = Filter(states, model, source, ticket, batch_id, due_before, duplicate_of)
        page = partial(read.find, limit=limit, after=after, newest_first=newest_first)
        return self._run.read(page, wanted)

    def counts(self) -> dict[State, int]:
        """How many requests are in each state, zeros included."""
        return self._run.read(read.counts)

    def unreadable(self, limit: int = 100) -> list[Unread]:
        """Deliveries that asked for a deletion, but not of what; the latest first."""
        return self._run.read(read.unreadable, limit)

    def ping(self) -> None:
        """Answer if the database does.

        Raises:
            LedgerUnavailableError: if it does not.
        """
        self._run.database.read(lambda connection: connection.execute(select(1)))

    # One request

    def move(
        self,
        request_id: str,
        to: State,
        *,
        actor: str,
        reason: str | None = None,
        facts: Facts | None = None,
    ) -> Entry:
        """Move a request on.

        Raises:
            RequestError: if the table of moves does not allow it, or it needs a claim, an approval
                or a release.
        """
        step = partial(requests.move, actor=checked_actor(actor), reason=reason)
        return self._run.write(step, request_id, to, facts=facts or Facts())

    def note(self, request_id: str, text: str, *, actor: str) -> Entry:
        """Add a line to the history. It must hold nothing personal."""
        return self._run.write(requests.add_note, request_id, text, actor=checked_actor(actor))

    def set_facts(self, request_id: str, facts: Facts) -> Entry:
        """Keep those facts that are not None."""
        return self._run.write(requests.set_facts, request_id, facts)

    def approve(self, request_id: str, *, actor: str) -> Entry:
        """Count an approval; the last of those needed approves the request.

        Raises:
            RequestError: if it does not wait for approval.
        """
        return self._run.write(requests.approve, request_id, actor=checked_actor(actor))

    def require_approval(self, request_id: str, *, needed: int, reason: str, actor: str) -> Entry:
        """Send an approved request to a person, unless one approved it before.

        Raises:
            RequestError: if it is not approved.
        """
        step = partial(requests.require_approval, needed=needed, reason=reason)
        return self._run.write(step, request_id, actor=checked_actor(actor))

    def hold(self, request_id: str, *, actor: str, reason: str) -> Entry:
        """Stop a request until it is released."""
        return self._run.write(requests.hold, request_id, actor=checked_actor(actor), reason=reason)

    def release(self, request_id: str, *, actor: str) -> Entry:
        """Let a held request go on from where the hold found it."""
        return self._run.write(requests.release, request_id, actor=checked_actor(actor))

    def cancel(self, request_id: str, *, actor: str, reason: str | None = None) -> Entry:
        """Take a request back before it is carried out."""
        return self._run.write(
            requests.cancel, request_id, actor=checked_actor(actor), reason=reason
        )

    def reject(self, request_id: str, *, actor: str, reason: str) -> Entry:
        """Turn a request down."""
        return self.move(request_id, State.REJECTED, actor=actor, reason=reason)

    def retry(self, request_id: str, *, actor: str) -> Entry:
        """Have a refused or failed request tried again."""
        return self._run.write(requests.retry, request_id, actor=checked_actor(actor))

    def extend(self, request_id: str, until: datetime, *, actor: str, reason: str) -> Entry:
        """Move the deadline, once and before it has passed, as far as the regulation allows.

        Raises:
            RequestError: if it cannot be moved so.
        """
        step = partial(requests.extend, actor=checked_actor(actor), reason=reason)
        return self._run.write(step, request_id, until)

    # Batches

    def claim(
        self,
        worker: str,
        *,
        lease: timedelta,
        limit: int,
        models: Collection[str] | None = None,
        ids: Collection[str] | None = None,
        skip: Collection[str] = (),
        weighed: bool = False,
        now: datetime | None = None,
    ) -> Batch | None:
        """Lease the next batch for a worker; None if there is nothing it could do now.

        First what was begun and is nobody's now, then approved requests, the most urgent first.

        Args:
            worker: who; it stands in the history.
            lease: how long it may be silent.
            limit: most requests of a new batch.
            models: only these, by registered name, or by name and alias or number.
            ids: only these requests, or batches that hold one of them.
            skip: ids of batches that were begun and are to be passed over.
            weighed: begin only with requests of which it is known how much they ask for.
            now: in place of the clock's time.
        """
        which = partial(claims.claim, models=models, ids=ids, skip=skip, weighed=weighed)
        step = partial(which, lease=lease, limit=limit, now=now)
        return self._run.write(step, checked_actor(worker))

    def renew(self, batch: Batch, lease: timedelta) -> Batch:
        """Keep the lease for longer.

        Raises:
            LeaseLostError: if the batch is another worker's by now, or finished.
        """
        return self._run.write(batches.renew, batch, lease)

    def climb(self, batch: Batch, rung: int) -> Batch:
        """Remember the step of the policy's ladder to go on with.

        Raises:
            LeaseLostError: if the batch is another worker's by now, or finished.
        """
        return self._run.write(batches.climb, batch, rung)

    def conclude(self, batch: Batch, outcomes: Mapping[str, Outcome]) -> Batch:
        """Write down how requests of a batch ended; it is finished when none is left in it.

        The same outcomes again, with the same token, change nothing.

        Raises:
            LeaseLostError: if the batch is another worker's by now, or finished otherwise.
            RequestError: if a request is not in it.
        """
        return self._run.write(batches.conclude, batch, outcomes)

    def split(self, batch: Batch, groups: Sequence[Sequence[str]]) -> list[str]:
        """Finish a batch and make one of each group of its requests; returns their ids.

        They are nobody's; the next claims take them in this order, before anything new
        of the model.

        Raises:
            LeaseLostError: if the batch is another worker's by now, or finished.
            RequestError: if the groups are not exactly what is left in it.
        """
        return self._run.write(batches.split, batch, groups)

    def surrender(self, batch: Batch, *, counted: bool = False) -> None:
        """End the lease now; the batch goes to the next claim.

        Args:
            batch: of this worker.
            counted: whether the attempt counts.

        Raises:
            LeaseLostError: if it is another worker's by now.
        """
        self._run.write(batches.surrender, batch, counted=counted)

    # Letters

    def enqueue(self, letters: Sequence[Letter]) -> int:
        """Owe letters; returns how many had keys that were not there before."""
        return self._run.write(outbox.enqueue, letters)

    def letters_due(
        self,
        worker: str,
        *,
        lease: timedelta,
        limit: int,
        kinds: Collection[str] | None = None,
    ) -> list[Letter]:
        """Lease letters to be sent now; that each was begun is on disk before they are returned."""
        step = partial(outbox.take, lease=lease, limit=limit, kinds=kinds)
        return self._run.write(step, worker)

    def sent(self, letter: Letter) -> None:
        """It arrived: forget what it said, keep its key."""
        self._run.write(outbox.sent, letter)

    def not_sent(self, letter: Letter, error: str, retry_at: datetime | None) -> None:
        """It did not arrive; try again then, or never if None. The error is one line."""
        self._run.write(outbox.not_sent, letter, error, retry_at)

    def letters_owed(self) -> dict[str, int]:
        """How many letters of each kind wait to be sent."""
        return self._run.read(outbox.owed)

    def letters_dead(self) -> list[tuple[str, str, str | None, str | None, datetime]]:
        """Kind, key, request, last error and time of the letters given up."""
        return self._run.read(outbox.dead)

    def revive(self, key: str) -> None:
        """Send a letter that was given up once more.

        Raises:
            RequestError: if there is none with that key.
        """
        self._run.write(outbox.revive, key)
