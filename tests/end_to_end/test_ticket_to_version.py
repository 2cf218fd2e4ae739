"""The story of the project: an issue is labelled, and a model that forgot is served, unattended.

A real Prefect server and worker and `lethe intake` as processes of their own, in a project made
from this checkout; only GitHub is a stand-in. What a person types in between runs in this process.
"""

import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PACKAGES = ("lethe", "flows", "tasks", "model_registry", "cli")
FILES = ("pyproject.toml", "prefect.yaml")
SECRETS = {name: f"{name.lower()}-{'0' * 32}" for name in ("HOOK_SECRET", "HUB_TOKEN", "DPO_TOKEN")}
PATIENCE = 600  # seconds; an edit takes ten of them on a machine that has nothing else to do

POLICY = """
version = "story"
[approval]
approvers = ["dpo"]
needed = 1

[models.digits]
at_once = true
promote = true

[sources.privacy-issues]
kind = "github"
secrets = ["env:HOOK_SECRET"]
models = ["digits@champion"]
datasets = ["data/digits"]
selections = ["classes"]
file_when = "action == 'labeled' && label.name == 'data-deletion'"
[sources.privacy-issues.fields]
model = "form.model"
dataset = "form.data_set"
classes = "split(form.classes)"
[sources.privacy-issues.answer]
api = "{github}"
token = "env:HUB_TOKEN"
close = true

[[tokens]]
name = "dpo"
secret = "env:DPO_TOKEN"
actor = "dpo"
may = ["read", "approve"]
"""


class Issue:
    """What became of one issue."""

    def __init__(self):
        self.comments, self.state, self.authorized = [], "open", True


class GitHub:
    """The part of GitHub's REST API that answers need; tells whoever waits of every change."""

    def __init__(self):
        self.issues, self.changed = {}, threading.Condition()

    def answer(self, method, path, token, body):
        with self.changed:
            number = int(path.split("/issues/")[1].split("/")[0].split("?")[0])
            issue = self.issues.setdefault(number, Issue())
            issue.authorized &= token == f"Bearer {SECRETS['HUB_TOKEN']}"
            if method == "POST":
                issue.comments.append(body["body"])
            elif method == "PATCH":
                issue.state = (body["state"], body["state_reason"])
            self.changed.notify_all()
            if method == "GET" and "/comments" in path:
                return [{"body": text} for text in issue.comments]
            return {"state": issue.state if issue.state == "open" else "closed"}

    def wait_until_closed(self, number):
        def closed():
            return number in self.issues and self.issues[number].state != "open"

        with self.changed:
            assert self.changed.wait_for(closed, PATIENCE), f"issue {number} was not closed"
            return self.issues[number]


@contextmanager
def serving(github):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_any(self):
            size = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(size) or "null")
            said = github.answer(self.command, self.path, self.headers["authorization"], body)
            content = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_any  # noqa: N815 (http.server's names)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


class Project:
    """A project's folder and what is typed in it."""

    def __init__(self, folder, prefect_server, lethe):
        self.folder, self.in_process = folder, lethe
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("LETHE_", "PREFECT_"))}
        self.environment = clean | SECRETS
        self.environment |= {
            "PATH": f"{BIN}{os.pathsep}{clean['PATH']}",
            "PWD": str(folder),
            "PYTHONPATH": str(folder),
            "COLUMNS": "400",
            "PREFECT_API_URL": prefect_server,
            "PREFECT_HOME": str(folder.parent / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }

    def type(self, command, *words):
        done = subprocess.run(
            [BIN / command, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def lethe(self, *words):
        code, out, err = self.in_process(*words)
        assert code == 0, out + err
        return out

    def json(self, *words):
        return json.loads(self.lethe(*words, "--json"))

    def versions(self):
        return [one["version"] for one in self.json("model", "list")]

    @contextmanager
    def running(self, command, *words, ready):
        """A process that goes on, from the line that holds `ready` to the end of the block."""
        process = subprocess.Popen(
            [BIN / command, *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said, found, lines = "", threading.Event(), []

        def read():
            for line in process.stdout:
                lines.append(line)
                if ready in line:
                    found.set()
            found.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            found.wait(PATIENCE)
            said = "".join(lines)
            assert ready in said, said
            yield lines
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:  # it waits for runs, which nothing here needs
                process.kill()
                process.wait(10)
            reader.join(10)


@pytest.fixture
def project(seed_project, tmp_path, prefect_server, lethe, monkeypatch):
    """A project with digits/1 as its champion, which is the working folder."""
    folder = shutil.copytree(seed_project, tmp_path / "project", symlinks=True)
    for name in PACKAGES:
        clutter = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=clutter, dirs_exist_ok=True)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org"]
    for words in (["add", "-A"], ["commit", "-q", "-m", "Its packages"]):
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    made = Project(folder, prefect_server, lethe)
    made.lethe("data", "prepare", "digits")
    made.lethe("train", "digits")
    return made


def labelled(number, classes):
    """The event that GitHub sends when an issue gets a label."""
    form = (
        f"### Model\n\ndigits@champion\n\n### Data set\n\ndata/digits\n\n### Classes\n\n{classes}"
    )
    return {
        "action": "labeled",
        "label": {"name": "data-deletion"},
        "issue": {"number": number, "body": form, "user": {"login": "anna-example"}},
        "repository": {"full_name": "example/models"},
    }


def deliver(address, delivery, event):
    body = json.dumps(event).encode()
    signature = hmac.new(SECRETS["HOOK_SECRET"].encode(), body, hashlib.sha256).hexdigest()
    begun = time.monotonic()
    reply = httpx.post(
        f"{address}/webhooks/privacy-issues",
        content=body,
        headers={
            "Content-Type": "application/json",
            "X-GitHub-Event": "issues",
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": f"sha256={signature}",
        },
        timeout=10,
    )
    return reply, time.monotonic() - begun


def triggered(server):
    """Ids of the runs that were triggered; the scheduler makes and drops its own as it likes."""
    of = {"deployments": {"name": {"any_": ["on-demand"]}}}
    found = httpx.post(f"{server}/flow_runs/filter", json=of, timeout=30).json()
    return [run["id"] for run in found]


def drop_waiting_runs(server):
    """Other tests triggered runs that no worker took: ours would, and none more be needed."""
    for run in triggered(server):
        httpx.delete(f"{server}/flow_runs/{run}", timeout=30).raise_for_status()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_issue_becomes_a_served_version_and_the_ticket_is_told(project, prefect_server):
    github = GitHub()
    with ExitStack() as stack:
        api = stack.enter_context(serving(github))
        (project.folder / "policy.toml").write_text(POLICY.format(github=api))
        # ## What an operator types once
        for pool in ("cpu", "gpu"):
            project.type("prefect", "work-pool", "create", pool, "--type", "process", "--overwrite")
        project.type("prefect", "--no-prompt", "deploy", "--all")
        drop_waiting_runs(prefect_server)
        worker = ("worker", "start", "--pool", "gpu")
        stack.enter_context(project.running("prefect", *worker, ready="started!"))
        intake = stack.enter_context(
            project.running("lethe", "intake", "--port", "0", ready="Lethe intake: ")
        )
        address = next(line for line in intake if "Lethe intake" in line).split()[2].strip(",")
        assert not [line for line in intake if "WARNING" in line]
        page = {"Authorization": f"Bearer {SECRETS['DPO_TOKEN']}"}

        # ## An issue is labelled; nobody does anything from here on
        reply, seconds = deliver(address, "delivery-1", labelled(7, "2"))
        assert (reply.status_code, seconds < 1) == (202, True)
        request_id = reply.json()["request_id"]
        issue = github.wait_until_closed(7)
        assert issue.authorized
        assert issue.state == ("closed", "completed")
        taken_in, told = issue.comments
        assert request_id in taken_in
        assert "digits/2" in told
        assert project.versions() == ["digits/1", "digits/2"]
        (served,) = [v for v in project.json("model", "list") if v["aliases"]]
        assert (served["version"], served["aliases"]) == ("digits/2", "champion")
        shown = project.json("requests", "show", request_id)
        assert (shown["state"], shown["successor"], shown["still_recognised"]) == (
            "completed",
            "digits/2",
            0.0,
        )
        assert shown["ticket"] == "example/models#7"
        assert [one["after"] for one in shown["history"]] == [
            "received",
            "approved",
            "in_progress",
            "registered",
            "promoted",
            "completed",
        ]
        seen = httpx.get(address, headers=page, timeout=30)
        assert seen.status_code == 200
        assert request_id in seen.text
        assert "completed" in seen.text.lower()
        assert httpx.get(address, timeout=30).status_code == 401
        assert len(triggered(prefect_server)) == 1

        # ## The same delivery again
        reply, seconds = deliver(address, "delivery-1", labelled(7, "2"))
        assert (reply.status_code, reply.json()["request_id"]) == (202, request_id)
        assert len(project.json("requests", "list")) == 1
        assert json.loads(project.lethe("requests", "letters", "--json"))["owed"] == {}

        # ## Another issue asks for the same
        reply, _ = deliver(address, "delivery-2", labelled(8, "2"))
        assert reply.status_code == 202
        second = reply.json()["request_id"]
        assert second != request_id
        issue = github.wait_until_closed(8)
        assert len(issue.comments) == 2
        shown = project.json("requests", "show", second)
        assert (shown["state"], shown["successor"]) == ("completed", "digits/2")
        assert "forgotten it already" in str(shown["history"])
        assert project.versions() == ["digits/1", "digits/2"]
        assert len(github.issues[7].comments) == 2
        assert len(triggered(prefect_server)) == 2
    assert "anna-example" not in "".join(intake)
