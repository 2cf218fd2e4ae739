"""Parts of the stack are killed or made to fail during a request; nothing is lost or done twice.

Every case is a ticket of its own for the same model. SIGKILL goes to the process that the process
manager started, and to all that it started, when a sign is seen of what is being written: a row of
the ledger, an object in S3, a version in MLflow. The process manager starts it again by itself.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fault_tools import a_ticket, kill, until

from infra.stack.demo import lethe
from infra.stack.health import asked, probes
from infra.stack.manager import Manager
from infra.stack.programs import environment_of, programs

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(3600)]
MIB = 1024 * 1024
# Fits the small files of a version and one of the two with its weights.
LEFT = 200_000
HURT = [
    (1, "worker-gpu", ["registering"]),
    (2, "prefect", ["in_progress"]),
    (4, "mlflow", ["in_progress", "registering"]),
    (5, "postgres", ["in_progress", "recording"]),
    (6, "s3", ["in_progress", "uploading"]),
    (7, "intake", ["filing", "in_progress"]),
]


@pytest.fixture(scope="module")
def trained(stack):
    """The stack with digits registered."""
    settings, credentials = stack
    lethe(settings, credentials, "data", "prepare", "digits")
    if "digits/1" not in lethe(settings, credentials, "model", "list", "--json"):
        lethe(settings, credentials, "train", "digits")
    return stack


@pytest.fixture(scope="module")
def impatient(trained):
    """Workers that ask MLflow three times and not for four minutes, so that a run gives up soon."""
    settings, credentials = trained
    file = settings.home / "clients.env"
    before = file.read_text() if file.exists() else ""
    file.write_text(f"{before}\nMLFLOW_HTTP_REQUEST_MAX_RETRIES=2\n")
    restart(settings, credentials, "worker-gpu")
    yield trained
    file.write_text(before)
    restart(settings, credentials, "worker-gpu")


def restart(settings, credentials, name):
    manager = Manager(settings)
    manager.stop(name)
    manager.start(name)
    healthy(settings, credentials, name)


def healthy(settings, credentials, name):
    probe = probes(settings, credentials)[name]
    until(lambda: asked(probe), f"{name} to be healthy again")


@pytest.mark.parametrize(("klass", "victim", "moments"), HURT, ids=[one[1] for one in HURT])
def test_killed_during_a_request_and_while_writing(trained, klass, victim, moments):
    with a_ticket(trained, klass) as ticket:
        # Its sender gets no answer while the intake service is killed, and sends again.
        sender = threading.Thread(target=until, args=(ticket.deliver, "delivered"), daemon=True)
        sender.start()
        for moment in moments:
            if moment != "filing":
                sender.join()
            until(lambda now=moment: ticket.reached(now), f"{moment} of class {klass}")
            assert kill(ticket.settings, victim) >= 1
            healthy(*trained, victim)
        sender.join()
        ticket.check()


def waits(ticket):
    """What a request that is in progress is said to wait for, once that is said."""
    seen = ticket.seen()
    assert seen["state"] in {"approved", "in_progress"}, seen["history"][-1]
    reason = seen["history"][-1]["reason"] or ""
    return reason if reason.startswith("It waits: ") else None


def told(ticket, what):
    """Wait until the owner is told; nothing was registered so far."""
    said = until(lambda: waits(ticket), f"{ticket.request} to say what it waits for")
    assert what in said
    assert not ticket.reached("registering")
    assert len(ticket.tickets.wait(ticket.issue, comments=1, seconds=300).comments) == 1


@contextmanager
def answering_503(settings):
    """An endpoint in the place of S3 that answers 503; how it was asked."""
    calls = []

    class Busy(BaseHTTPRequestHandler):
        def answer(self):
            try:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                calls.append(self.command)
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:  # who asked does not wait for the answer
                self.close_connection = True

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815 (http.server's)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        allow_reuse_address = True
        address_family = socket.AF_INET

    with Server((settings.host, settings.s3_port), Busy) as busy:
        thread = threading.Thread(target=busy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield calls
        busy.shutdown()
        thread.join()


def test_while_s3_answers_503_a_request_waits_and_says_so(impatient):
    settings, credentials = impatient
    manager = Manager(settings)
    with a_ticket(impatient, 8) as ticket:
        manager.stop("s3")
        try:
            with answering_503(settings) as calls:
                ticket.deliver()  # tickets are kept while S3 is away
                told(ticket, "cannot be downloaded")
                assert calls
        finally:
            manager.start("s3")
            healthy(settings, credentials, "s3")
        ticket.check()


@contextmanager
def small_disk(settings, credentials):
    """S3 on a disk of 16 MiB: a tmpfs that the endpoint alone sees, gone with its process.

    Its data are copied there, and back at the end. Gives the folder, as seen from outside.
    """
    data, small = settings.home / "s3", settings.home / "small"
    own = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    mount = f"mount -t tmpfs -o size={16 * MIB},mode=700 tmpfs {small}"
    small.mkdir(exist_ok=True, mode=0o700)
    able = (
        shutil.which("unshare")
        and not subprocess.run(
            [*own, "sh", "-c", mount], check=False, capture_output=True
        ).returncode
    )
    if not able:
        pytest.skip("no full disk can be made here: unshare and mount of a tmpfs are not allowed")
    program = next(one for one in programs(settings) if one.name == "s3")
    serve = shlex.join([*program.command[:-1], str(small)])
    manager = Manager(settings)
    manager.stop("s3")
    with subprocess.Popen(
        [*own, "sh", "-ec", f"{mount}; cp -a {data}/. {small}; exec {serve}"],
        env=environment_of(settings, program),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        inside = Path(f"/proc/{process.pid}/root{small}")
        try:
            probe = probes(settings, credentials)["s3"]
            until(lambda: asked(probe), "S3 on a small disk")
            yield inside
        finally:
            shutil.copytree(inside, data, dirs_exist_ok=True)
            process.send_signal(signal.SIGKILL)
            process.wait()
            small.rmdir()
            manager.start("s3")
            healthy(settings, credentials, "s3")


def test_on_a_full_disk_for_artifacts_a_request_waits_says_so_and_is_completed_when_it_is_freed(
    impatient,
):
    settings, credentials = impatient
    with a_ticket(impatient, 9) as ticket, small_disk(settings, credentials) as disk:
        filler, room = disk / "filler", os.statvfs(disk)
        filler.write_bytes(bytes(room.f_bavail * room.f_frsize - LEFT))
        with pytest.raises(OSError, match="No space left"):
            (disk / "more").write_bytes(bytes(MIB))
        (disk / "more").unlink()
        until(ticket.deliver, "delivered")
        told(ticket, "MLflow answered 500, for itself or its artifact store")
        filler.unlink()
        ticket.check()


def test_after_all_of_it_every_record_of_the_trail_verifies(trained):
    lethe(*trained, "audit", "verify")
