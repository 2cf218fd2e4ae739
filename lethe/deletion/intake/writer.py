"""Group commit: one thread writes what many senders wait for.

A commit costs one fsync, whether it holds one arrival or two hundred. So a single thread takes
everything that waits, up to `most`, hands it to the ledger as one transaction, and only then tells
the senders. It waits a few milliseconds for company first: while it commits it competes with the
thread that reads tickets, so few large commits beat many small ones. What was told is durable; what
was not is not in the ledger, or is there once and found again when the sender repeats it.

    writer = Writer(ledger)
    writer.start()
    receipt = await writer.accept(arrival)      # returns after the commit
    writer.close()                              # writes what waits, then ends

The queue is bounded: when it is full, or the ledger stays away for longer than `patience`, the
sender is told to come back. GitHub waits ten seconds for an answer, so patience is eight.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Condition, Thread
from typing import Protocol

from lethe.deletion.intake.errors import is_outage
from lethe.deletion.ledger.types import Arrival, Receipt
from lethe.errors import LetheError

PATIENCE = timedelta(seconds=8)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
# An fsync takes about as long; several senders' next tickets arrive within it.
_PAUSE, _PAUSES = 0.003, 4


class UnavailableError(LetheError):
    """The ledger cannot take an arrival now. Nothing was kept; the sender repeats it."""


class Accepts(Protocol):
    """What the writer needs of a ledger."""

    def accept(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        """Keep all of them in one transaction."""


@dataclass
class _Waiting:
    arrival: Arrival
    until: float
    done: Future[Receipt] = field(default_factory=Future)


class Writer:
    """Commits arrivals in groups; thread-safe, and awaitable from any event loop.

    Args:
        ledger: where to.
        most: arrivals in one transaction.
        capacity: arrivals that may wait; beyond it a sender is sent away at once.
        patience: how long an arrival may take, outages of the ledger included.
        on_commit: told the size of each committed group and the seconds it took.
    """

    def __init__(
        self,
        ledger: Accepts,
        *,
        most: int = 256,
        capacity: int = 2048,
        patience: timedelta = PATIENCE,
        on_commit: Callable[[int, float], None] = lambda _size, _seconds: None,
    ) -> None:
        self._ledger = ledger
        self._most = most
        self._capacity = capacity
        self._patience = patience.total_seconds()
        self._on_commit = on_commit
        self._queue: deque[_Waiting] = deque()
        self._change = Condition()
        self._closing = False
        self._thread = Thread(target=self._run, name="lethe-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Take nothing more, write what waits, end the thread."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    async def accept(self, arrival: Arrival) -> Receipt:
        """What became of an arrival, after its transaction was committed.

        Raises:
            UnavailableError: if the ledger could not be written in time, the queue is full, or the
                writer is closing.
        """
        one = self._enqueue(arrival)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(one.done), self._patience)
        except TimeoutError:
            raise _unavailable("did not answer in time") from None

    def _enqueue(self, arrival: Arrival) -> _Waiting:
        one = _Waiting(arrival, time.monotonic() + self._patience)
        with self._change:
            if self._closing or not self._thread.is_alive():
                raise _unavailable("is being closed")
            if len(self._queue) >= self._capacity:
                raise _unavailable("has too much waiting for it")
            self._queue.append(one)
            self._change.notify()
        return one

    def _run(self) -> None:
        while (group := self._take()) is not None:
            if group:
                self._commit(group)

    def _take(self) -> list[_Waiting] | None:
        """What waits and is still wanted; None when there will be nothing any more."""
        with self._change:
            self._change.wait_for(lambda: self._queue or self._closing)
            if not self._queue:
                return None
        self._gather()
        with self._change:
            taken = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
        return [one for one in taken if one.done.set_running_or_notify_cancel()]

    def _gather(self) -> None:
        """Wait while more keep coming in: a commit of eight costs little more than one of three."""
        seen = len(self._queue)
        for _ in range(_PAUSES):
            time.sleep(_PAUSE)
            if len(self._queue) in {seen, self._capacity}:
                return
            seen = len(self._queue)

    def _commit(self, group: Sequence[_Waiting]) -> None:
        started = time.monotonic()
        try:
            receipts = self._try([one.arrival for one in group], group[0].until)
        except Exception as error:  # noqa: BLE001 (it goes to those who wait)
            if len(group) > 1 and not isinstance(error, UnavailableError):
                # One of them is what the database cannot take. The others are not to blame.
                for one in group:
                    self._commit([one])
                return
            for one in group:
                one.done.set_exception(error)
            return
        self._on_commit(len(group), time.monotonic() - started)
        for one, receipt in zip(group, receipts, strict=True):
            one.done.set_result(receipt)

    def _try(self, arrivals: Sequence[Arrival], until: float) -> list[Receipt]:
        """Once, and again while the ledger is away and there is time."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return self._ledger.accept(arrivals)
            except Exception as error:
                if not is_outage(error):
                    raise
                if time.monotonic() + pause > until:
                    raise _unavailable("cannot be written") from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _unavailable(what: str) -> UnavailableError:
    return UnavailableError(
        f"The ledger {what}. The ticket was not kept. Send it again; `lethe requests list` shows "
        f"what is there."
    )
