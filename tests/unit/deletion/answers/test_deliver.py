import itertools
import logging
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.answers.deliver import TRIES, Delivered, deliver, exponential
from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.http import Patience
from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.types import Judgement, Letter
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.settings import Settings

QUICK = Patience(step=0.1, call=0.1, letter=0.1)


class Box:
    """An outbox on a clock that the test moves."""

    def __init__(self, folder, policy):
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.url, self.key = f"sqlite:///{folder / 'ledger.db'}", b"k" * 32
        self.policy, self.settings = policy, Settings(home=folder)
        self.ledger = self.open()
        self.senders = {}

    def open(self):
        return open_ledger(self.url, key=self.key, clock=lambda: self.now)

    def owe(self, *keys, kind="trigger", target="t"):
        self.ledger.enqueue([Letter(kind, key, {"target": target}, f"req-{key}") for key in keys])

    def deliver(self, **options):
        options = {
            "ledger": self.ledger,
            "worker": "w",
            "senders": self.senders,
            "clock": lambda: self.now,
            "patience": QUICK,
            **options,
        }
        ledger = options.pop("ledger")
        return deliver(ledger, self.policy, self.settings, **options)


@pytest.fixture
def box(tmp_path, policy):
    made = Box(tmp_path, policy)
    with made.ledger:
        yield made


def failing(error, *, good=()):
    def send(letter):
        if letter.key not in good:
            raise error

    return send


def test_what_is_sent_is_owed_no_more(box):
    got = []
    box.senders["trigger"] = lambda letter: got.append((letter.key, letter.attempt))
    box.owe("a", "b")
    assert box.deliver() == Delivered(sent=2)
    assert got == [("a", 1), ("b", 1)]
    assert box.deliver() == Delivered()
    assert box.ledger.letters_owed() == {}


@pytest.mark.parametrize("claimed", [False, True])
def test_a_run_is_not_started_for_what_another_run_has(box, claimed):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=("3",)))
    request = DeletionRequest(model="digits@champion", forget=spec, received_at=box.now)
    box.ledger.file(request, Judgement(State.APPROVED, "no more than it may be"), actor="cli")
    box.ledger.enqueue([Letter("trigger", "t", {}, request.id)])
    if claimed:
        box.ledger.claim("w", lease=timedelta(minutes=5), limit=10)
    got = []
    box.senders["trigger"] = got.append
    box.deliver()
    assert len(got) == (0 if claimed else 1)
    assert box.ledger.letters_owed() == {}


def test_what_fails_comes_back_later_and_later(box):
    tried = []

    def send(letter):
        tried.append(box.now)
        raise SendError("HTTP 500")

    box.senders["trigger"] = send
    box.owe("a")
    for _ in range(2000):
        box.deliver(backoff=lambda n: timedelta(minutes=2**n))
        box.now += timedelta(minutes=1)
        if len(tried) == 6:
            break
    pauses = [(b - a).total_seconds() / 60 for a, b in itertools.pairwise(tried)]
    assert pauses == [2, 4, 8, 16, 32]


def test_the_pause_doubles_up_to_six_hours_and_is_not_the_same_for_all():
    for attempt, minutes in ((1, 0.5), (2, 1), (5, 8), (9, 128), (10, 256), (11, 360), (300, 360)):
        pauses = [exponential(attempt).total_seconds() / 60 for _ in range(50)]
        assert 0.8 * minutes <= min(pauses) < max(pauses) <= 1.2 * minutes
    days = sum((exponential(n) for n in range(1, TRIES)), timedelta())
    assert timedelta(days=3) < days < timedelta(days=6)


def test_a_target_that_asks_for_more_time_gets_it(box):
    box.senders["trigger"] = failing(SendError("HTTP 429", retry_after=timedelta(hours=2)))
    box.owe("a")
    assert box.deliver() == Delivered(failed=1)
    box.now += timedelta(hours=1, minutes=59)
    assert box.deliver() == Delivered()
    box.now += timedelta(minutes=2)
    assert box.deliver() == Delivered(failed=1)


def test_after_thirty_tries_it_is_given_up_listed_and_can_be_revived(box):
    box.senders["trigger"] = failing(SendError("HTTP 500"))
    box.owe("a")
    total = Delivered()
    for _ in range(TRIES + 3):
        total += box.deliver()
        box.now += timedelta(hours=8)
    assert total == Delivered(failed=TRIES - 1, dead=1)
    ((kind, key, request, error, _at),) = box.ledger.letters_dead()
    assert (kind, key, request, error) == ("trigger", "a", "req-a", "HTTP 500")
    box.ledger.revive("a")
    # Not given up again at the first failure.
    assert box.deliver() == Delivered(failed=1)
    box.senders["trigger"] = lambda _: None
    box.now += timedelta(hours=8)
    assert box.deliver() == Delivered(sent=1)
    assert box.ledger.letters_dead() == []


def test_what_cannot_be_mended_by_waiting_is_given_up_at_once(box):
    box.senders["trigger"] = failing(SendError("HTTP 404", permanent=True))
    box.owe("a")
    assert box.deliver() == Delivered(dead=1)


def test_a_letter_that_nobody_here_sends_stays_untouched(box):
    box.owe("a")
    box.owe("b", kind="pigeon")
    for _ in range(40):
        assert box.deliver(senders=None) == Delivered()
        box.now += timedelta(days=1)
    assert box.ledger.letters_owed() == {"trigger": 1, "pigeon": 1}
    (letter,) = box.ledger.letters_due("w", lease=timedelta(hours=1), limit=1, kinds=["trigger"])
    assert letter.attempt == 1


def test_a_target_that_is_down_is_tried_once_a_round_and_holds_up_nobody(box):
    tried = Counter()

    def send(letter):
        tried[letter.payload["target"]] += 1
        if letter.payload["target"] == "down":
            raise SendError("ConnectTimeout", down=True)

    box.senders["trigger"] = send
    box.owe(*(f"d{n}" for n in range(15)), target="down")
    box.owe(*(f"u{n}" for n in range(15)), target="up")
    assert box.deliver() == Delivered(sent=15, failed=15)
    assert tried["up"] == 15
    # 30 letters are two rounds at most.
    assert tried["down"] <= 2


def test_a_sender_that_hangs_does_not_hold_up_another_target(box):
    others, release = threading.Event(), threading.Event()

    def send(letter):
        if letter.payload["target"] == "slow":
            assert others.wait(20)
            release.set()
        else:
            others.set()

    box.senders["trigger"] = send
    box.owe("a", target="slow")
    box.owe("b", target="quick")
    assert box.deliver() == Delivered(sent=2)
    assert release.is_set()


def test_a_single_letter_that_fails_does_not_stop_those_behind_it(box):
    box.senders["trigger"] = failing(SendError("HTTP 500"), good=("b", "c"))
    box.owe("a", "b", "c")
    assert box.deliver() == Delivered(sent=2, failed=1)


def test_a_fault_of_a_sender_is_kept_and_logged_without_its_text(box, caplog):
    box.senders["trigger"] = failing(RuntimeError("canary"), good=("b",))
    box.owe("a", "b")
    with caplog.at_level(logging.DEBUG):
        assert box.deliver() == Delivered(sent=1, failed=1)
    assert "RuntimeError" in caplog.text
    assert "canary" not in caplog.text
    for _ in range(TRIES):
        box.now += timedelta(hours=8)
        box.deliver()
    assert box.ledger.letters_dead()[0][3] == "RuntimeError"


def test_at_most_the_limit_is_tried(box):
    box.senders["trigger"] = lambda _: None
    box.owe(*(f"k{n}" for n in range(50)))
    assert box.deliver(limit=30) == Delivered(sent=30)
    assert box.ledger.letters_owed() == {"trigger": 20}


def test_nothing_is_begun_after_its_time(box):
    box.senders["trigger"] = lambda _: None
    box.owe("a")
    assert box.deliver(until=box.now) == Delivered()
    assert box.deliver(until=box.now + timedelta(seconds=1)) == Delivered(sent=1)


def test_who_ends_finishes_the_letter_and_puts_the_others_back(box):
    closing = threading.Event()
    box.senders["trigger"] = lambda _: closing.set()
    box.owe("a", "b", "c")
    assert box.deliver(closing=closing) == Delivered(sent=1)
    # Back at once, not when a lease runs out.
    assert box.deliver() == Delivered(sent=2)


def test_two_deliverers_at_once_send_no_letter_twice(box):
    sent, lock, both = Counter(), threading.Lock(), threading.Barrier(2, timeout=30)

    def send(letter):
        with lock:
            sent[letter.key] += 1

    box.senders["trigger"] = send
    box.owe(*(f"k{n}" for n in range(100)))
    totals = []

    def work(worker):
        with box.open() as ledger:
            both.wait()
            totals.append(box.deliver(ledger=ledger, worker=worker, limit=1000))

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(total.sent for total in totals) == 100
    assert set(sent.values()) == {1}
    assert len(sent) == 100


def test_a_lease_that_a_letter_could_outlive_is_refused(box):
    with pytest.raises(ValueError, match="lease"):
        box.deliver(lease=timedelta(seconds=60), patience=Patience())
