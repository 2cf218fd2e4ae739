"""Examines records in their order, many of them in two processes.

    with closing(examined(lines, ring)) as found:
        for one in found: ...                    # as `examine(line, ring)` for each, in order

A short chain is examined here. From `ALONE` records on, worker processes take batches in turn. How
much is under way is bounded, so memory stays the same however many records there are.

What a worker does not deliver is examined here instead: one that was killed, that cannot be
started, or that answers nonsense makes it slower and changes nothing. Each worker has pipes of its
own and nobody else holds their ends, so its end is seen at once; with the queues that the workers
of `concurrent.futures` share, one that is killed while it writes can leave the others waiting. And
`multiprocessing` would run the caller's main module again in each of them.

Needs the standard library, `cryptography` and `rfc8785` alone.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import IO, Final, Self, cast

from lethe.audit.keyring import KeyRing
from lethe.audit.verify.examine import Examined, examine, unpacked

ALONE: Final = 2_000  # to start two processes costs about as much as examining 1,000 records
MOST: Final = 2
BATCH, BATCH_BYTES = 32, 256 * 1024  # whichever is reached first
UNDER_WAY: Final = 2  # batches of each worker: one that it examines, one that it has next
PIPE: Final = 1024**2
_START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from lethe.audit.verify.worker import main; main()"
)


def processes() -> int:
    """How many processes to use: at most two, and no more than there are processors."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on macOS and Windows
        allowed = os.cpu_count() or 1
    return min(MOST, allowed)


def examined(
    lines: Iterable[bytes], ring: KeyRing, workers: int | None = None, *, alone: int = ALONE
) -> Iterator[Examined]:
    """Examine records.

    Args:
        lines: the records, without line breaks; read a little ahead.
        ring: the keys that are trusted.
        workers: processes; 1 uses no other, None as many as `processes` says.
        alone: how many records are examined here before others are started.

    Returns:
        What `examine` gives for each, in the same order. Close it when you leave it early.
    """
    rest = iter(lines)
    for line in islice(rest, alone):
        yield examine(line, ring)
    first = list(islice(rest, 1))
    number = processes() if workers is None else workers
    with contextlib.ExitStack() as stack:
        team: list[Worker] = []
        if first and number > 1:
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                while len(team) < number:
                    team.append(stack.enter_context(Worker(ring)))
        batches = _batches(rest, first)
        yield from _here(batches, ring) if not team else _there(batches, team, ring)


def _batches(rest: Iterator[bytes], first: list[bytes]) -> Iterator[list[bytes]]:
    batch, size = first, sum(map(len, first))
    for line in rest:
        if len(batch) == BATCH or size + len(line) > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def _here(batches: Iterable[list[bytes]], ring: KeyRing) -> Iterator[Examined]:
    return (examine(line, ring) for batch in batches for line in batch)


def _there(
    batches: Iterator[list[bytes]], team: list["Worker"], ring: KeyRing
) -> Iterator[Examined]:
    waiting: deque[tuple[Worker, list[bytes]]] = deque()
    for number, batch in enumerate(batches):
        worker = team[number % len(team)]
        worker.send(batch)
        waiting.append((worker, batch))
        if len(waiting) == UNDER_WAY * len(team):
            yield from _taken(*waiting.popleft(), ring)
    while waiting:
        yield from _taken(*waiting.popleft(), ring)


def _taken(worker: "Worker", batch: list[bytes], ring: KeyRing) -> Iterable[Examined]:
    found = worker.receive(batch)
    return _here([batch], ring) if found is None else found


class Worker:
    """A process that examines batches, and the pipes to it; use it in a `with` block.

    Raises:
        OSError: if it cannot be started; RuntimeError or ValueError likewise.
    """

    def __init__(self, ring: KeyRing) -> None:
        if not sys.executable or getattr(sys, "frozen", False):
            raise OSError("this Python cannot start another one")
        # -I: what is imported comes from where it came here, and from nowhere else.
        path = json.dumps([*map(str, sys.path)])
        self._process = subprocess.Popen(  # noqa: S603 (this Python, fixed code)
            [sys.executable, "-I", "-c", _START, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._in = cast("IO[bytes]", self._process.stdin)
        self._out = cast("IO[bytes]", self._process.stdout)
        self._gone = False
        self._replies: SimpleQueue[bytes] = SimpleQueue()
        # It always reads, so the worker never waits to write, and so it always comes to read.
        self._reader = Thread(target=self._read, daemon=True)
        try:
            self._reader.start()
            self._widen()
            self._write(json.dumps([vars(key) for key in ring.keys]).encode() + b"\n")
        except BaseException:
            self.__exit__()
            raise

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._reader.ident is not None:  # it was started
            self._reader.join()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()

    def send(self, batch: list[bytes]) -> None:
        """Give it a batch; that it is gone is seen at `receive`."""
        if self._gone:
            return
        with contextlib.suppress(OSError):
            self._write(b"%d\n" % len(batch) + b"".join(line + b"\n" for line in batch))

    def receive(self, batch: list[bytes]) -> list[Examined] | None:
        """What it found in the oldest batch that it has; None if it is gone or talks nonsense."""
        if self._gone:
            return None
        try:
            pairs = list(zip(json.loads(self._replies.get()), batch, strict=True))
            return [unpacked(values, line) for values, line in pairs]
        except (ValueError, TypeError, RecursionError):
            self._gone = True  # what would come next belongs to no batch any more
            self._process.kill()
            return None

    def _write(self, data: bytes) -> None:
        self._in.write(data)
        self._in.flush()

    def _read(self) -> None:
        for line in self._out:
            self._replies.put(line)
        self._replies.put(b"")  # no reply: from now on there is none

    def _widen(self) -> None:
        """A pipe that takes a batch whole: nobody waits for the other to read (Linux)."""
        with contextlib.suppress(ImportError, AttributeError, OSError):
            import fcntl

            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE)
