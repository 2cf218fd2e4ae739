"""Sends what the outbox owes.

    deliver(ledger, policy, settings, worker="intake:1", senders={"trigger": start_run})

Letters are leased in the ledger, per kind and the longest due first, and sent by a few threads, one
target after the other in each: a target that is down costs one try per round and holds up nobody
else. What fails comes back later and later (30 seconds, doubled up to 6 hours, a fifth more or less
so that not all come at once), and is given up after 30 tries, about five days; `lethe requests
letters` lists those, and a letter that is revived gets another 30.

It may be killed at any moment. A letter that was sent and not yet marked so is sent again when its
lease ends, and each kind has its means against a second effect: the mark in a comment, the
`webhook-id`, the status of OpenDSR, Prefect's idempotency key (`letter.key`).

A letter whose kind has no sender here is not even leased.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from lethe.deletion.answers.credentials import utc_now
from lethe.deletion.answers.duplicates import duplicates_sender, is_outdated
from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.github import github_sender
from lethe.deletion.answers.http import PATIENCE, Patience
from lethe.deletion.answers.jira import jira_sender
from lethe.deletion.answers.opendsr import opendsr_sender
from lethe.deletion.answers.webhook import webhook_sender
from lethe.deletion.ledger.ledger import Ledger
from lethe.deletion.ledger.types import Letter
from lethe.deletion.policy.model import Policy
from lethe.keys import record_key
from lethe.logs import trail
from lethe.settings import Settings

Sender = Callable[[Letter], None]

LEASE: Final = timedelta(minutes=10)
TRIES: Final = 30
_FIRST = timedelta(seconds=30)
_LONGEST = timedelta(hours=6)
_SPREAD = 0.2
# Letters of one kind that are leased at a time.
_ROUND = 20
_THREADS = 8

log = logging.getLogger("lethe.answers")


@dataclass(frozen=True)
class Delivered:
    """How many letters were sent, failed and will be tried again, and were given up."""

    sent: int = 0
    failed: int = 0
    dead: int = 0

    def __add__(self, other: "Delivered") -> "Delivered":
        return Delivered(self.sent + other.sent, self.failed + other.failed, self.dead + other.dead)


@dataclass(frozen=True)
class Rules:
    """When to try again and when to stop.

    Attributes:
        backoff: pause before the try after this many.
        clock: the time, with a zone.
        lease: how long others leave a letter alone that this deliverer took.
        until: nothing is begun from then on.
        closing: nothing is begun once the caller sets it.
        failed: likewise, set by the deliverer itself.
    """

    backoff: Callable[[int], timedelta]
    clock: Callable[[], datetime]
    lease: timedelta
    until: datetime | None
    closing: threading.Event
    failed: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        """Whether nothing more is to be begun."""
        late = self.until is not None and self.clock() >= self.until
        return late or self.closing.is_set() or self.failed.is_set()


def exponential(attempt: int) -> timedelta:
    """The pause after a try: doubled each time up to six hours, a fifth more or less."""
    pause = min(_FIRST.total_seconds() * 2 ** min(attempt - 1, 20), _LONGEST.total_seconds())
    return timedelta(seconds=pause * secrets.SystemRandom().uniform(1 - _SPREAD, 1 + _SPREAD))


def deliver(
    ledger: Ledger,
    policy: Policy,
    settings: Settings,
    *,
    worker: str,
    senders: Mapping[str, Sender] | None = None,
    limit: int = 100,
    until: datetime | None = None,
    clock: Callable[[], datetime] = utc_now,
    backoff: Callable[[int], timedelta] = exponential,
    lease: timedelta = LEASE,
    patience: Patience = PATIENCE,
    closing: threading.Event | None = None,
) -> Delivered:
    """Send what is due now. It does not wait for what will be due later.

    Args:
        ledger: whose outbox it is.
        policy: where answers go and with which secrets, now.
        settings: give the link and the record's key.
        worker: who leases, such as "intake:host".
        senders: by kind, beside Lethe's own or in place of them. A sender returns when the letter
            arrived and raises `SendError` when not.
        limit: most letters of one kind that are tried.
        until: nothing is begun from then on.
        clock: the time, with a zone.
        backoff: pause after so many tries.
        lease: how long others leave a letter alone.
        patience: how long servers are waited for.
        closing: nothing is begun once it is set, so that a service can end in order.

    Returns:
        What became of the letters.

    Raises:
        LedgerUnavailableError: if the ledger cannot be reached. What was sent and could not be
            marked so is sent again when its lease ends.
        ValueError: if the lease is too short for this much patience.
    """
    if lease.total_seconds() < 3 * patience.letter:
        message = "the lease must be at least three times as long as patience.letter"
        raise ValueError(message)
    known = built_in(ledger, policy, settings, patience=patience, clock=clock)
    known |= senders or {}
    rules = Rules(backoff, clock, lease, until, closing or threading.Event())
    total, left = Delivered(), dict.fromkeys(known, limit)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="lethe-deliver") as pool:
        # Kinds come round again as long as one had letters: handling one can owe another.
        while not rules.over and (groups := _take(ledger, worker, left, rules)):
            # Late enough for the letter that was begun last to end within the lease.
            last = time.monotonic() + lease.total_seconds() - 2 * patience.letter
            work = [pool.submit(_send_group, ledger, known, g, rules, last) for g in groups]
            try:
                total = sum((done.result() for done in work), total)
            except BaseException:
                rules.failed.set()
                raise
    return total


def built_in(
    ledger: Ledger,
    policy: Policy,
    settings: Settings,
    *,
    patience: Patience,
    clock: Callable[[], datetime],
) -> dict[str, Sender]:
    """Lethe's own senders by kind."""
    key = record_key(settings.record_key_file)
    return {
        "duplicates": duplicates_sender(ledger, policy, settings),
        "github": github_sender(policy, key, patience=patience, clock=clock),
        "jira": jira_sender(policy, key, patience=patience, clock=clock),
        "opendsr": opendsr_sender(policy, patience=patience, clock=clock),
        "webhook": webhook_sender(policy, patience=patience, clock=clock),
    }


def _take(ledger: Ledger, worker: str, left: dict[str, int], rules: Rules) -> list[list[Letter]]:
    """Lease a round of letters of each kind; `left` says how many more of it may be tried."""
    groups: list[list[Letter]] = []
    for kind in [kind for kind, number in left.items() if number > 0]:
        most = min(left[kind], _ROUND)
        letters = ledger.letters_due(worker, lease=rules.lease, limit=most, kinds=[kind])
        left[kind] -= len(letters)
        groups += _by_target(letters)
    return groups


def _by_target(letters: Sequence[Letter]) -> list[list[Letter]]:
    """Letters that go to the same place, each group in the order in which they are due."""
    groups: dict[tuple[str, str, str], list[Letter]] = {}
    for letter in letters:
        host = urlsplit(str(letter.payload.get("url", ""))).netloc
        place = (letter.kind, str(letter.payload.get("target", "")), host)
        groups.setdefault(place, []).append(letter)
    return list(groups.values())


def _send_group(
    ledger: Ledger,
    senders: Mapping[str, Sender],
    letters: Sequence[Letter],
    rules: Rules,
    last_start: float,
) -> Delivered:
    """Send letters to one target, one after the other, until it turns out to be down."""
    total = Delivered()
    down: SendError | None = None
    for letter in letters:
        if rules.over or time.monotonic() > last_start:
            ledger.not_sent(letter, "put back: the deliverer ended", rules.clock())
            continue
        problem = down or _try(ledger, senders[letter.kind], letter)
        if problem is None:
            ledger.sent(letter)
            trail.info(
                "A letter was sent: %s",
                letter.kind,
                extra={"request_id": letter.request_id, "letter": letter.kind},
            )
            total += Delivered(sent=letter.kind != "duplicates")
            continue
        total += _put_back(ledger, letter, problem, rules)
        if problem.down:
            down = problem
    return total


def _try(ledger: Ledger, sender: Sender, letter: Letter) -> SendError | None:
    """None if the letter arrived, or need not any more."""
    try:
        if not is_outdated(ledger, letter):
            sender(letter)
    except SendError as error:
        return error
    except Exception as error:  # noqa: BLE001 (a fault of ours must not stop the others)
        # Its text may hold anything.
        log.warning("The sender of %s failed: %s.", letter.kind, type(error).__name__)
        return SendError(type(error).__name__)
    return None


def _put_back(ledger: Ledger, letter: Letter, problem: SendError, rules: Rules) -> Delivered:
    if problem.permanent or letter.attempt % TRIES == 0:
        ledger.not_sent(letter, problem.what, None)
        log.warning(
            "A letter %s about %s was given up: %s.", letter.kind, letter.request_id, problem.what
        )
        return Delivered(dead=1)
    pause = max(rules.backoff(letter.attempt), problem.retry_after or timedelta())
    ledger.not_sent(letter, problem.what, rules.clock() + pause)
    return Delivered(failed=1)
