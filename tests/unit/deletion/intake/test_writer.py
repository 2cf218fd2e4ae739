import asyncio
import threading
from datetime import timedelta

import pytest

from lethe.deletion.intake.writer import UnavailableError, Writer
from lethe.deletion.ledger.errors import LedgerUnavailableError
from lethe.deletion.ledger.types import Arrival, ArrivalKind, Receipt, Reception

pytestmark = pytest.mark.anyio
DEADLINE = 10


class Shelf:
    """A ledger whose commits wait for a signal, or fail when told to."""

    def __init__(self):
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.groups = []
        self.failures = []
        self.poison = None

    def accept(self, arrivals):
        self.entered.set()
        assert self.open.wait(DEADLINE)
        if self.failures:
            raise self.failures.pop(0)
        if self.poison in [a.delivery_id for a in arrivals]:
            raise ValueError("this one cannot be kept")
        self.groups.append([a.delivery_id for a in arrivals])
        return [Receipt(Reception.FILED, f"req-{a.delivery_id}") for a in arrivals]


def arrival(name):
    return Arrival("portal", str(name), ArrivalKind.IGNORE)


@pytest.fixture
def shelf():
    shelf = Shelf()
    yield shelf
    shelf.open.set()


@pytest.fixture
def start():
    writers = []

    def run(shelf, **options):
        writers.append(Writer(shelf, **options))
        writers[-1].start()
        return writers[-1]

    yield run
    for writer in writers:
        writer.close()


async def hold_first(shelf, writer):
    """One arrival in a commit that does not end, so that all later ones wait."""
    shelf.open.clear()
    shelf.entered.clear()
    first = asyncio.create_task(writer.accept(arrival("first")))
    await asyncio.to_thread(shelf.entered.wait, DEADLINE)
    return first


async def enqueue(writer, names):
    tasks = [asyncio.create_task(writer.accept(arrival(name))) for name in names]
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_is_committed_together_and_each_gets_its_own_receipt(shelf, start):
    sizes = []
    writer = start(shelf, most=8, on_commit=lambda size, _: sizes.append(size))
    first = await hold_first(shelf, writer)
    others = await enqueue(writer, range(20))
    shelf.open.set()
    receipts = await asyncio.gather(first, *others)
    assert [r.request_id for r in receipts] == ["req-first", *(f"req-{n}" for n in range(20))]
    assert [len(group) for group in shelf.groups] == sizes == [1, 8, 8, 4]


async def test_nobody_is_told_before_the_commit(shelf, start):
    writer = start(shelf)
    first = await hold_first(shelf, writer)
    done, _ = await asyncio.wait([first], timeout=0.05)
    assert not done
    assert not shelf.groups
    shelf.open.set()
    assert (await first).reception is Reception.FILED


async def test_a_full_queue_sends_away_at_once(shelf, start):
    writer = start(shelf, capacity=2)
    first = await hold_first(shelf, writer)
    waiting = await enqueue(writer, range(2))
    with pytest.raises(UnavailableError, match="too much waiting"):
        await writer.accept(arrival("third"))
    shelf.open.set()
    await asyncio.gather(first, *waiting)
    assert [name for group in shelf.groups for name in group] == ["first", "0", "1"]


async def test_an_outage_within_patience_is_not_noticed(shelf, start):
    shelf.failures = [LedgerUnavailableError("locked"), LedgerUnavailableError("restarting")]
    writer = start(shelf)
    assert (await writer.accept(arrival("a"))).request_id == "req-a"
    assert not shelf.failures


async def test_an_outage_beyond_patience_sends_away_and_the_next_one_is_kept(shelf, start):
    shelf.failures = [LedgerUnavailableError("away")] * 1000
    writer = start(shelf, patience=timedelta(seconds=0.2))
    with pytest.raises(UnavailableError):
        await writer.accept(arrival("a"))
    shelf.failures.clear()
    assert (await writer.accept(arrival("b"))).request_id == "req-b"


async def test_what_was_given_up_while_it_waited_is_not_written_later(shelf, start):
    writer = start(shelf, patience=timedelta(seconds=0.1))
    first = await hold_first(shelf, writer)
    (late,) = await enqueue(writer, ["late"])
    for task in (first, late):
        with pytest.raises(UnavailableError):
            await task
    shelf.open.set()
    assert (await writer.accept(arrival("next"))).request_id == "req-next"
    assert "late" not in [name for group in shelf.groups for name in group]


async def test_one_that_cannot_be_kept_fails_alone(shelf, start):
    shelf.poison = "1"
    writer = start(shelf)
    first = await hold_first(shelf, writer)
    tasks = await enqueue(writer, range(3))
    shelf.open.set()
    await first
    ok, bad, fine = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(bad, ValueError)
    assert (ok.request_id, fine.request_id) == ("req-0", "req-2")


async def test_closing_writes_what_waits_and_takes_nothing_more(shelf, start):
    writer = start(shelf)
    first = await hold_first(shelf, writer)
    waiting = await enqueue(writer, range(5))
    closing = threading.Thread(target=writer.close)
    closing.start()
    with writer._change:
        assert writer._change.wait_for(lambda: writer._closing, DEADLINE)
    with pytest.raises(UnavailableError, match="closed"):
        await writer.accept(arrival("late"))
    shelf.open.set()
    receipts = await asyncio.gather(first, *waiting)
    closing.join(DEADLINE)
    assert len(receipts) == 6
    assert sum(map(len, shelf.groups)) == 6


async def test_a_writer_that_does_not_run_sends_away(shelf):
    with pytest.raises(UnavailableError):
        await Writer(shelf).accept(arrival("a"))
