# ruff: noqa: INP001 (a script, not a package)
"""Take the pictures of the intake service's pages: docs/images/requests.png and request.png.

    python docs/screenshots.py [FOLDER]

Fills a new ledger in a temporary folder with made-up requests, one in every state that lasts,
serves it on a free port of this machine and photographs it with the system's Chromium. The
integration tests use the same ledger.
"""

import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.ledger import Ledger, open_ledger
from lethe.deletion.ledger.types import Arrival, ArrivalKind, Facts, Judgement, Letter, Outcome
from lethe.deletion.policy.deadlines import GDPR, due_at, extendable_to
from lethe.deletion.policy.model import Policy
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.settings import Settings, load_settings

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
POLICY = {
    "version": "2026-11",
    "approval": {"approvers": ["dpo", "model-owner"], "needed": 2},
    "sources": {
        "privacy-issues": {
            "kind": "github",
            "models": ["*"],
            "datasets": ["*"],
            "secrets": ["env:GITHUB_WEBHOOK_SECRET"],
        }
    },
    "tokens": [{"name": "dpo", "secret": "env:PAGE_TOKEN", "actor": "dpo", "may": ["read"]}],
}
WORKER = "worker:gpu-1"
CANARY = "canary"
ROUTES = {
    State.PROMOTED: (State.PROMOTED,),
    State.ERASING: (State.PROMOTED, State.ERASING),
    State.PARTIAL: (State.PROMOTED, State.PARTIAL),
    State.COMPLETED: (State.PROMOTED, State.ERASING, State.COMPLETED),
}
CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: datetime

    def __call__(self) -> datetime:
        """The time."""
        return self.now


@contextmanager
def sample_ledger(folder: Path, now: datetime = NOW) -> Iterator[tuple[Ledger, Clock]]:
    """A ledger with a request in every state that lasts, and a clock that stands at `now`."""
    clock = Clock(now)
    with open_ledger(f"sqlite:///{folder / 'ledger.db'}", key=b"k" * 32, clock=clock) as ledger:
        _fill(_Filler(ledger, clock, now))
        clock.now = now
        yield ledger, clock


def _fill(sample: "_Filler") -> None:
    ledger, clock, now = sample.ledger, sample.clock, sample.now
    waits = State.AWAITING_APPROVAL
    for days_ago, model, end in (
        (41, "digits", State.COMPLETED),
        (40, "watch", State.COMPLETED),
        (38, "cwru", State.PARTIAL),
        (37, "digits", State.REFUSED),
        (30, "cwru", State.FAILED),
        (28, "cifar10", State.PROMOTED),
        (27, "digits", State.ERASING),
        (26, "watch", State.REGISTERED),
    ):
        sample.carry_out(sample.file(days_ago, model), end)
    first = sample.file(25, "digits", state=waits)
    ledger.approve(first, actor="dpo")
    clock.now += timedelta(days=9)
    ledger.note(first, "the controller asked for a second opinion", actor="dpo")
    second = sample.file(29, "cwru", kind="samples", state=waits)
    furthest = ledger.get(second).extendable_to or now
    ledger.extend(second, furthest, actor="dpo", reason="many rows to look through")
    sample.file(3, "cwru", kind="classes", state=waits)
    ledger.hold(sample.file(27, "watch"), actor="legal", reason="Litigation 2026-4")
    late = sample.file(33, "digits", kind="classes")
    sample.file(21, "digits", kind="classes", same_as=late)
    for days_ago in (20, 18, 18, 11, 2):
        sample.file(days_ago, "cifar10", kind="samples")
    sample.file(12, "unknown", state=State.REJECTED)
    taken_back = sample.file(6, "watch", kind="classes")
    ledger.cancel(taken_back, actor="intake:privacy-issues", reason="the ticket was closed")
    busy = sample.file(24, "watch", kind="samples")
    clock.now = now - timedelta(hours=1)
    ledger.claim(WORKER, lease=timedelta(hours=4), limit=10, ids=[busy])
    ledger.accept(
        [
            Arrival(
                source="privacy-issues",
                delivery_id="d-131",
                kind=ArrivalKind.UNREADABLE,
                ticket="acme/privacy#131",
                problem="the field classes is missing",
            )
        ]
    )
    ledger.enqueue([Letter("github", f"github:{late}:completed", {"text": "…"}, request_id=late)])
    (letter,) = ledger.letters_due(WORKER, lease=timedelta(minutes=5), limit=1)
    ledger.not_sent(letter, "404 from the tracker: the issue was moved", None)


@dataclass
class _Filler:
    """Files made-up requests, each with labels and ids of its own, and plays their lives."""

    ledger: Ledger
    clock: Clock
    now: datetime
    number: int = 0

    def file(
        self,
        days_ago: int,
        model: str,
        *,
        kind: str = "subjects",
        state: State = State.APPROVED,
        same_as: str | None = None,
    ) -> str:
        """File the next request, received so many days ago; its id."""
        self.number += 1
        n = self.number
        self.clock.now = self.now - timedelta(days=days_ago, hours=n % 7, minutes=7 * n % 60)
        values = tuple(f"{CANARY}-{n}-{i}" for i in range(1 + n % 3))
        forget = ForgetSpec(dataset=f"data/{model}", selection=Selection(**{kind: values}))
        if same_as is not None:
            forget = self.ledger.get(same_as).request.forget
        request = DeletionRequest(
            id=f"req-{(0x5F3A9C1D2B40 + 0x314159265 * n) % 16**12:012x}",
            model=f"{model}@champion",
            forget=forget,
            ground="GDPR Art. 17(1)(b)",
            source="privacy-issues" if n % 4 else "cli",
            ticket=f"acme/privacy#{100 + n}" if n % 4 else None,
            received_at=self.clock.now,
        )
        reason = {
            State.REJECTED: "the source may not name this model",
            State.AWAITING_APPROVAL: "each request to this model needs approval",
        }.get(state, "the policy allows it")
        judgement = Judgement(
            state,
            reason,
            policy="2026-11@sha256:0f4bd01c9a2e",
            approvals_needed=2 if state == State.AWAITING_APPROVAL else 0,
            due_at=due_at(self.clock.now, GDPR),
            extendable_to=extendable_to(self.clock.now, GDPR),
        )
        self.ledger.file(request, judgement, actor=f"intake:{request.source}")
        return request.id

    def carry_out(self, request_id: str, end: State) -> None:
        """Claim a request a day later and lead it to its end."""
        model = self.ledger.get(request_id).request.model.partition("@")[0]
        self.clock.now += timedelta(days=1)
        batch = self.ledger.claim(WORKER, lease=timedelta(hours=1), limit=10, ids=[request_id])
        assert batch is not None  # noqa: S101 (for the type checker)
        tried = Facts(
            rows=214, share=0.012, parent=f"{model}/3", run_id="4be1f06f8f1d4c0a9d0a6a0f1c2d3e4f"
        )
        made = replace(
            tried,
            successor=f"{model}/4",
            verdict="suppressed",
            statement="9c56cc51b374c3ba189210d5b6d4bf57" * 2,
            forget_accuracy=0.0,
        )
        outcome = {
            State.REFUSED: Outcome(
                State.REFUSED,
                "1 of 9 gates failed: retained accuracy fell by 3.1 points, 2.0 are allowed",
                replace(tried, verdict="refused"),
            ),
            State.FAILED: Outcome(State.FAILED, "the data set cannot be read from its remote"),
        }.get(end, Outcome(State.REGISTERED, "every measured gate passed", made))
        self.clock.now += timedelta(minutes=14)
        self.ledger.conclude(batch, {request_id: outcome})
        for to in ROUTES.get(end, ()):
            self.clock.now += timedelta(hours=2)
            self.ledger.move(request_id, to, actor=WORKER)


@contextmanager
def served(ledger: Ledger, clock: Clock, settings: Settings) -> Iterator[str]:
    """The pages on a free port of this machine; gives their address."""
    import socket

    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application(ledger, clock, settings), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


def application(ledger: Ledger, clock: Clock, settings: Settings) -> Any:
    """The pages alone, for a reader who is let in, by a clock that stands still."""
    from fastapi import FastAPI

    from lethe.deletion.intake.auth import Caller
    from lethe.deletion.intake.page import page_router

    policy = Policy.model_validate(POLICY)
    reader = Caller("reader", "dpo", frozenset({"read"}), None)
    app = FastAPI(openapi_url=None)
    app.include_router(page_router(ledger, lambda: policy, settings, lambda: reader, clock=clock))
    return app


def chromium() -> str | None:
    """The system's Chromium, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def main(folder: Path) -> None:
    """Take the pictures."""
    from playwright.sync_api import sync_playwright

    settings = load_settings(mlflow={"tracking_uri": "https://mlflow.example.org"})
    with (
        tempfile.TemporaryDirectory() as home,
        sample_ledger(Path(home)) as (ledger, clock),
        served(ledger, clock, settings) as address,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM)) as browser,
    ):
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.goto(address)
        page.screenshot(path=folder / "requests.png")
        (completed,) = ledger.find(states={State.COMPLETED}, limit=1)
        page.goto(f"{address}/requests/{completed.id}")
        page.screenshot(path=folder / "request.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images")
