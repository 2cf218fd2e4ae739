"""`make stack-demo`: a signed ticket in, a registered version and an answered ticket out."""

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from infra.stack.config import StackSettings
from infra.stack.errors import StackError
from infra.stack.prepare import run_environment
from infra.stack.programs import BIN
from infra.stack.tickets import Issue, Tickets, deliver, labelled, serving
from infra.stack.tls import trust

PATIENCE = 900.0  # of a machine that has much else to do
PAUSE = 0.3
OVER = {"completed", "partial", "refused", "failed", "rejected", "cancelled"}
CLASSES = tuple("0123456789")
Tell = Callable[[str], None]


def demo(settings: StackSettings, credentials: Mapping[str, str], tell: Tell = print) -> Issue:
    """Follow one ticket through a stack that runs; every step is told with how long it took.

    Run again, it asks for the next class.

    Raises:
        StackError: if a step fails, or the ticket is not answered in a quarter of an hour.
    """
    begun = time.monotonic()
    clock = Clock(tell)
    lethe(settings, credentials, "data", "prepare", "digits")
    clock.step("data set digits: prepared, pushed to the DVC remote")
    if not _has_digits(settings, credentials):
        lethe(settings, credentials, "train", "digits")
    clock.step("digits: trained on it, registered in MLflow, unless it was there before")
    wanted = _next_class(settings, credentials)
    clock.step(f"class {wanted}: the next that no request asked for")
    number, tickets = secrets.randbelow(900_000) + 100_000, Tickets()
    with serving(tickets, settings.host, settings.tickets_port):
        reply = deliver(
            settings.url(settings.intake_port),
            labelled(number, wanted),
            delivery=f"demo-{number}",
            secret=credentials["WEBHOOK_SECRET"],
            verify=trust(settings),
        )
        if reply.status_code != 202:
            raise StackError(f"The intake service answered {reply.status_code}: {reply.text}")
        request = reply.json()["request_id"]
        clock.step(f"issue {number}: delivered with a signature, kept as {request}")
        seen = follow(settings, credentials, request, clock.step)
        if seen["state"] != "completed":
            raise StackError(f"{request} is {seen['state']}: {seen['reason']}.")
        issue = tickets.wait(number, comments=2, closed=True, seconds=PATIENCE)
        clock.step("issue: commented upon twice and closed")
    if issue.tokens != {f"Bearer {credentials['TICKETS_TOKEN']}"}:
        raise StackError("The ticket system was called without its token.")
    tell(f"  {time.monotonic() - begun:6.1f} s  in all: {seen['facts']['successor']}")
    tell(f"\nThe issue's last comment:\n\n{issue.comments[-1]}\n")
    tell(f"MLflow  {settings.url(settings.mlflow_port)}/#/models/digits")
    tell(f"Intake  {settings.url(settings.intake_port)}/requests/{request}")
    return issue


class Clock:
    """Tells each step with the time that it took."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._since = tell, time.monotonic()

    def step(self, text: str) -> None:
        """A step is over."""
        now = time.monotonic()
        self._tell(f"  {now - self._since:6.1f} s  {text}")
        self._since = now


def follow(
    settings: StackSettings, credentials: Mapping[str, str], request: str, tell: Tell
) -> dict[str, Any]:
    """Tell each state of a request as it is reached, until nothing more comes.

    Raises:
        StackError: if it is not over in a quarter of an hour.
    """
    told, deadline = 0, time.monotonic() + PATIENCE
    while True:
        seen = request_of(settings, credentials, request)
        for move in seen["history"][told:]:
            tell(f"request: {move['after']}" + (f" ({move['reason']})" if move["reason"] else ""))
        told = len(seen["history"])
        if seen["state"] in OVER:
            return seen
        if time.monotonic() > deadline:
            raise StackError(
                f"{request} is {seen['state']} after {PATIENCE:.0f} s. It is not lost: look at "
                f"{settings.url(settings.intake_port)}/requests/{request} and {settings.logs}."
            )
        time.sleep(PAUSE)


def lethe(settings: StackSettings, credentials: Mapping[str, str], *words: str) -> str:
    """What a `lethe` command prints, run against the stack.

    Raises:
        StackError: with its message, if it fails.
    """
    done = subprocess.run(
        [str(BIN / "lethe"), *words],
        cwd=settings.project,
        env=run_environment(settings, credentials),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackError(f"lethe {' '.join(words)}: {done.stderr.strip()[-1500:]}")
    return done.stdout


def request_of(
    settings: StackSettings, credentials: Mapping[str, str], request: str
) -> dict[str, Any]:
    """One request as the intake service tells it."""
    got = httpx.get(
        f"{settings.url(settings.intake_port)}/api/v1/requests/{request}",
        headers={"Authorization": f"Bearer {credentials['OPERATOR_TOKEN']}"},
        timeout=30,
        verify=trust(settings),
    )
    got.raise_for_status()
    seen: dict[str, Any] = got.json()
    return seen


def _has_digits(settings: StackSettings, credentials: Mapping[str, str]) -> bool:
    listed = json.loads(lethe(settings, credentials, "model", "list", "--json"))
    return any(one["version"].startswith("digits/") for one in listed)


def _next_class(settings: StackSettings, credentials: Mapping[str, str]) -> str:
    listed = json.loads(lethe(settings, credentials, "requests", "list", "--json"))
    return CLASSES[(3 + len(listed)) % len(CLASSES)]
