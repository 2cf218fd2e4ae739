"""Sends what is due while the service runs: a thread that wakes every few seconds, or when told.

Deliveries talk to servers of others and may take long, so they have a thread of their own that
never holds up a ticket. The letters are leased in the ledger: what a killed service had begun is
sent by whoever comes next, and a second service beside this one does not send it twice at a time.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Thread

from lethe.deletion.intake.errors import place

log = logging.getLogger("lethe.intake")

EVERY = timedelta(seconds=5)
PAUSE = timedelta(seconds=1)
# Longest that the end of the service waits for a delivery under way.
GOODBYE = timedelta(seconds=10)


class Courier:
    """Calls `deliver` from a thread of its own.

    Args:
        deliver: sends what is due; what it raises is logged by kind and place, and it is called
            again later.
        every: longest pause between two calls, beside `pause`.
        pause: shortest pause between two calls.
        closing: set by `close`, for `deliver` to look at.
    """

    def __init__(
        self,
        deliver: Callable[[], object],
        *,
        every: timedelta = EVERY,
        pause: timedelta = PAUSE,
        closing: Event | None = None,
    ) -> None:
        self._deliver = deliver
        self._every = every.total_seconds()
        self._pause = pause.total_seconds()
        self._wake = Event()
        self._closing = closing or Event()
        self._thread = Thread(target=self._run, name="lethe-courier", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def close(self) -> None:
        """Begin nothing more and wait a while for what is under way."""
        self._closing.set()
        self._wake.set()
        self._thread.join(GOODBYE.total_seconds())

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            try:
                self._deliver()
            except Exception as error:  # noqa: BLE001 (the next call may work)
                log.warning("Letters were not sent; they stay due. %s", place(error))
            # Under load every commit wakes: what came in during a pause goes out together after it.
            self._closing.wait(min(self._pause, self._every))
            self._wake.wait(self._every)
