"""Each part of the stack is killed in the middle of a request; nothing is lost or done twice.

Every case is a ticket of its own for the same model. SIGKILL goes to the process that the process
manager started, and to all that it started; the process manager starts it again by itself.
"""

import json
import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psutil
import pytest

from infra.stack.demo import lethe, request_of
from infra.stack.health import asked, csrf, prefect_client, probes
from infra.stack.manager import Manager
from infra.stack.tickets import Tickets, deliver, labelled, serving

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(3600)]
DEADLINE = 1500.0
GOOD = {"completed", "partial"}
CLEAR = {"refused", "failed"}


def until(condition, what, seconds=DEADLINE):
    """Ask until it holds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except (httpx.HTTPError, OSError):
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        threading.Event().wait(0.2)  # the next question, not a moment that must have come


def kill(settings, name):
    """SIGKILL a program and everything it started; how many processes died."""
    victims = []
    for pid in Manager(settings).pids(name):
        process = psutil.Process(pid)
        victims += [*process.children(recursive=True), process]
    for victim in victims:
        with_pid = victim.pid
        try:
            os.kill(with_pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return len(victims)


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


@pytest.fixture(scope="module")
def trained(stack):
    """The stack with digits registered."""
    settings, credentials = stack
    lethe(settings, credentials, "data", "prepare", "digits")
    listed = json.loads(lethe(settings, credentials, "model", "list", "--json"))
    if not listed:
        lethe(settings, credentials, "train", "digits")
    return stack


@pytest.mark.parametrize(
    ("number", "victim", "moment"),
    [
        (1, "worker-gpu", "in_progress"),
        (2, "prefect", "in_progress"),
        (4, "mlflow", "in_progress"),
        (5, "postgres", "in_progress"),
        (6, "s3", "in_progress"),
        (7, "intake", "in_progress"),
    ],
)
def test_killed_during_a_request(trained, number, victim, moment):
    settings, credentials = trained
    tickets, issue = Tickets(), 1000 + number
    before = {
        v["version"] for v in json.loads(lethe(settings, credentials, "model", "list", "--json"))
    }
    address = settings.url(settings.intake_port)
    with serving(tickets, settings.host, settings.tickets_port):
        event = labelled(issue, str(number))
        secret = credentials["WEBHOOK_SECRET"]
        reply = deliver(address, event, delivery=f"fault-{issue}", secret=secret)
        assert reply.status_code == 202, reply.text
        request = reply.json()["request_id"]

        def state():
            return request_of(settings, credentials, request)["state"]

        until(lambda: state() in {moment, *GOOD, *CLEAR}, f"{request} to be {moment}")
        assert state() == moment
        assert kill(settings, victim) >= 1
        probe = probes(settings, credentials)[victim]
        until(lambda: asked(probe), f"{victim} to be healthy again")
        # The schedule brings up what lay; it may come several times.
        until(lambda: settle(settings, credentials), "a run that settles")
        again = [time.monotonic()]

        def over():
            if time.monotonic() - again[0] > 60:
                again[0] = time.monotonic()
                settle(settings, credentials)
            return state() in GOOD | CLEAR

        until(over, f"{request} to be over")
        seen = request_of(settings, credentials, request)
        assert seen["state"] in GOOD, seen["history"][-1]
        # The same delivery again is the same request.
        twice = deliver(address, event, delivery=f"fault-{issue}", secret=secret)
        assert (twice.status_code, twice.json()["request_id"]) == (202, request)
        answered = tickets.wait(issue, comments=2, closed=True, seconds=300)
        assert len(answered.comments) == 2
    after = [
        v["version"] for v in json.loads(lethe(settings, credentials, "model", "list", "--json"))
    ]
    assert len(set(after) - before) == 1
    assert len(after) == len(set(after))
    lethe(settings, credentials, "audit", "verify")


def test_while_s3_answers_503_nothing_is_lost(trained):
    """An endpoint in the place of S3 that answers 503, until it goes and S3 comes back."""
    settings, credentials = trained
    manager = Manager(settings)
    tickets, calls = Tickets(), []

    class Busy(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            calls.append(self.command)
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815 (http.server's)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        allow_reuse_address = True
        address_family = socket.AF_INET

    with serving(tickets, settings.host, settings.tickets_port):
        manager.stop("s3")
        with Server((settings.host, settings.s3_port), Busy) as busy:
            thread = threading.Thread(target=busy.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            reply = deliver(
                settings.url(settings.intake_port),
                labelled(1008, "8"),
                delivery="fault-1008",
                secret=credentials["WEBHOOK_SECRET"],
            )
            assert reply.status_code == 202  # tickets are kept while S3 is away
            request = reply.json()["request_id"]
            until(lambda: calls, "S3 to be asked")
            busy.shutdown()
            thread.join()
        manager.start("s3")
        last = [0.0]

        def over():
            if time.monotonic() - last[0] > 60:
                last[0] = time.monotonic()
                settle(settings, credentials)
            return request_of(settings, credentials, request)["state"] in GOOD | CLEAR

        until(over, f"{request} to be over")
        assert request_of(settings, credentials, request)["state"] in GOOD
        assert len(tickets.wait(1008, comments=2, closed=True, seconds=300).comments) == 2
