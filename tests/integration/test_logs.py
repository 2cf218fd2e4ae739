"""One grep follows a request: from the delivery through the flow to the certificate."""

import contextlib
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import httpx
import pytest

BIN = Path(sys.executable).parent
SECRET = "a-secret-of-thirty-two-characters"  # noqa: S105
DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
WAIT = 120
POLICY = """
version = "test"
[sources.cli]
kind = "cli"
models = ["*"]
datasets = ["*"]
[sources.issues]
kind = "github"
secrets = ["env:T_SECRET"]
models = ["digits@champion"]
datasets = ["data/digits"]
[sources.issues.fields]
model = "form.model"
dataset = "form.data_set"
classes = "split(form.classes)"
"""
FORM = "### Model\n\ndigits@champion\n\n### Data set\n\ndata/digits\n\n### Classes\n\n3"
EVENT = {
    "action": "labeled",
    "label": {"name": "data-deletion"},
    "issue": {"number": 7, "body": FORM, "user": {"login": "canary-login"}},
    "repository": {"full_name": "acme/privacy"},
}


@pytest.fixture
def environment(project, prefect_server, monkeypatch):
    """A project whose commands write JSON lines."""
    (project / "policy.toml").write_text(POLICY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return os.environ | {
        "LETHE_LOGS__FORMAT": "json",
        "T_SECRET": SECRET,
        "OMP_NUM_THREADS": "1",
        "PREFECT_API_URL": prefect_server,
        "PREFECT_LOGGING_LEVEL": "INFO",
    }


def lines_of(text):
    """All lines of a log; whatever is no JSON fails the test."""
    return [json.loads(line) for line in text.splitlines() if line]


@contextlib.contextmanager
def intake(environment, project):
    """`lethe intake` as a process of its own: its address, and its log once it has ended."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    said = project / "intake.log"
    with said.open("w") as log:
        process = subprocess.Popen(
            [BIN / "lethe", "intake", "--port", str(port), "--verbose"],
            cwd=project,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5)
                break
        yield f"http://127.0.0.1:{port}", said
    finally:
        process.terminate()
        process.wait(WAIT)


def deliver(address):
    body = json.dumps(EVENT).encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": DELIVERY,
        "X-Hub-Signature-256": "sha256="
        + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
    }
    return httpx.post(f"{address}/webhooks/issues", content=body, headers=headers, timeout=WAIT)


@pytest.mark.timeout(900)  # of a busy machine
def test_one_grep_follows_a_request_from_the_delivery_to_the_certificate(environment, project):
    def lethe(*words):
        done = subprocess.run(
            [BIN / "lethe", *words],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    with intake(environment, project) as (address, said):
        answer = deliver(address)
        assert answer.status_code == 202, answer.text
    request = answer.json()["request_id"]
    taken_in = said.read_text()
    process = lethe("requests", "process", "--json")
    shown = json.loads(lethe("requests", "show", request, "--json").stdout)
    certificate = lethe("audit", "certificate", request)

    log = [one for one in taken_in.splitlines() if one.startswith("{")]
    log += [one for one in process.stderr.splitlines() if one.startswith("{")]
    log += [one for one in certificate.stderr.splitlines() if one.startswith("{")]
    found = lines_of("\n".join(line for line in log if request in line))  # the grep

    # ## The delivery: HTTP request, delivery, ticket, request
    (kept,) = [one for one in found if "reception" in one]
    assert kept["http_request_id"] == answer.headers["X-Request-Id"]
    assert (kept["delivery"], kept["ticket"]) == (DELIVERY, "acme/privacy#7")
    assert kept["request_id"] == request
    (access,) = [one for one in lines_of("\n".join(log)) if "/webhooks/{source}" in one["message"]]
    assert access["http_request_id"] == kept["http_request_id"]

    # ## The flow: each move, in one run and one batch, to the record
    moves = [one for one in found if "after" in one]
    assert [one["after"] for one in moves] == [
        *("received", "approved", "in_progress", "registered", "promoted", "completed")
    ]
    (run,) = {one["flow_run_id"] for one in moves[2:]}
    assert UUID(run)
    (batch,) = {one["batch_id"] for one in moves[2:]}
    (signed,) = [one for one in found if "A record was signed" in one["message"]]
    assert (signed["flow_run_id"], signed["batch_id"]) == (run, batch)
    assert signed["request_ids"] == [request]
    assert signed["statement"] == moves[-1]["statement"] == shown["statement_sha256"]
    assert moves[-1]["successor"] == "digits/2"
    assert any(one["logger"].startswith("prefect") for one in found)  # Prefect's own lines too

    # ## The certificate
    assert found[-1]["message"] == "A certificate was written"
    assert found[-1]["statement"] == signed["statement"]

    # ## Nothing of what was sent
    assert "canary-login" not in taken_in + process.stderr + certificate.stderr
    assert '"actor"' not in "\n".join(log)


@pytest.mark.timeout(300)
def test_a_command_that_logs_text_tells_nothing_of_it(environment, project):
    text = environment | {"LETHE_LOGS__FORMAT": "text"}
    words = ["requests", "submit", "digits@champion", "--dataset", "data/digits", "--classes", "3"]
    for used, trail in ((text, False), (environment, True)):
        done = subprocess.run(
            [BIN / "lethe", *words],
            cwd=project,
            env=used,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ("lethe.trail" in done.stderr) == trail
