"""What the tests of faults share: a ticket, signs of what is being written, kills, the count."""

import logging
import os
import secrets
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import psutil
import psycopg

from infra.stack.config import StackSettings
from infra.stack.demo import request_of
from infra.stack.health import csrf, prefect_client
from infra.stack.manager import Manager
from infra.stack.tickets import Tickets, deliver, labelled, serving
from lethe.deletion.answers.deliver import LEASE

log = logging.getLogger("faults")
DEADLINE = 1500.0
PAUSE = 0.1
GOOD = {"completed", "partial"}
CLEAR = {"refused", "failed"}
# Begun, and nobody has it.
LYING = (
    "SELECT 1 FROM batches WHERE finished_at IS NULL "
    "AND (lease_until IS NULL OR lease_until < now())"
)
VERSIONS = (
    "SELECT version FROM model_versions WHERE name = 'digits' "
    "AND current_stage <> 'Deleted_Internal'"
)


def until(condition, what, seconds=DEADLINE, pause=PAUSE):
    """Ask until it holds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except (httpx.HTTPError, OSError, psycopg.OperationalError):
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        threading.Event().wait(pause)  # the next question, not a moment that must have come


def kill(settings, name):
    """SIGKILL a program and everything it started; how many processes died."""
    victims = []
    for pid in Manager(settings).pids(name):
        process = psutil.Process(pid)
        victims += [*process.children(recursive=True), process]
    for victim in victims:
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return len(victims)


@dataclass
class Ticket:
    """A ticket for a class, from its delivery to its answer, on a stack that is being hurt."""

    settings: StackSettings
    credentials: dict
    klass: int
    tickets: Tickets = field(default_factory=Tickets)
    request: str | None = None
    asked: float = 0.0

    def __post_init__(self):
        self.issue = secrets.randbelow(900_000) + 100_000
        self.versions = self.rows("mlflow", VERSIONS)
        self.objects = self.stored()
        self.records = len(self.rows("lethe", "SELECT 1 FROM statements"))
        self.filed = len(self.rows("lethe", "SELECT 1 FROM requests"))

    def deliver(self):
        """Send it as GitHub does, again until it is answered; the answer."""
        reply = deliver(
            self.settings.url(self.settings.intake_port),
            labelled(self.issue, str(self.klass)),
            delivery=f"fault-{self.issue}",
            secret=self.credentials["WEBHOOK_SECRET"],
        )
        if reply.status_code != 202:
            raise httpx.HTTPError(reply.text)
        self.request = reply.json()["request_id"]
        return reply

    def seen(self):
        """The request as its owner sees it."""
        return request_of(self.settings, self.credentials, self.request)

    def state(self):
        return self.seen()["state"]

    def rows(self, database, query):
        """What stands in one of the stack's databases."""
        with psycopg.connect(
            host=self.settings.host,
            port=self.settings.postgres_port,
            user="postgres",
            dbname=database,
            password=self.credentials["POSTGRES_PASSWORD"],
            connect_timeout=5,
        ) as connection:
            return [row[0] for row in connection.execute(query).fetchall()]

    def stored(self):
        """The files of models in S3, those half written too."""
        found = (self.settings.home / "s3").glob("mlflow-artifacts/**/models/**/*")
        return {path for path in found if path.is_file()}

    def reached(self, moment):
        """Whether a moment has come, as seen in what is being written."""
        match moment:
            case "filing":
                return len(self.rows("lethe", "SELECT 1 FROM requests")) > self.filed
            case "uploading":
                return bool(self.stored() - self.objects)
            case "registering":
                return len(self.rows("mlflow", VERSIONS)) > len(self.versions)
            case "recording":
                return len(self.rows("lethe", "SELECT 1 FROM statements")) > self.records
        return self.state() in {moment, *GOOD, *CLEAR}

    def over(self):
        """Whether it came to an end; what lies is taken up now, and not ten minutes later."""
        since = time.monotonic() - self.asked
        if since > 120 or (since > 30 and self.rows("lethe", LYING)):
            self.asked = time.monotonic()
            settle(self.settings, self.credentials)
        return self.state() in GOOD | CLEAR

    def check(self):
        """Completed, with one version, one record and one answer of its own."""
        # No run need be made where one goes on; after a while one is made all the same.
        self.asked = time.monotonic() - 30
        until(self.over, f"{self.request} to be over", pause=0.5)
        seen = self.seen()
        assert seen["state"] in GOOD, seen["history"][-1]
        begun = {one["actor"] for one in seen["history"] if one["after"] == "in_progress"}
        ended = {one["actor"] for one in seen["history"] if one["after"] == "registered"}
        how = "by the run that began it" if begun == ended else "by a run that took it up"
        log.info("class %s: %s %s", self.klass, seen["state"], how)
        # The same delivery again is the same request.
        request = self.request
        assert self.deliver().json()["request_id"] == request
        # What a killed program was about to send is sent when its lease has ended.
        most = LEASE.total_seconds() + 300
        answered = self.tickets.wait(self.issue, comments=2, closed=True, seconds=most)
        assert len(answered.comments) == 2
        (made,) = set(self.rows("mlflow", VERSIONS)) - set(self.versions)
        assert seen["facts"]["successor"] == f"digits/{made}"
        assert len(self.rows("lethe", "SELECT 1 FROM statements")) == self.records + 1
        assert len(self.rows("lethe", "SELECT 1 FROM requests")) == self.filed + 1


@contextmanager
def a_ticket(stack, klass):
    """A ticket whose system takes answers for as long as the block runs."""
    ticket = Ticket(*stack, klass)
    with serving(ticket.tickets, ticket.settings.host, ticket.settings.tickets_port):
        yield ticket


def settle(settings, credentials):
    """What the schedule does every ten minutes, now."""
    with prefect_client(settings, credentials) as client:
        found = client.get("/deployments/name/settle-requests/settle")
        made = client.post(
            f"/deployments/{found.json()['id']}/create_flow_run",
            json={},
            headers=csrf(client),
        )
        return made.status_code in {200, 201}
