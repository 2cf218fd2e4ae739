"""Issues on a local server, requests from them, the policy between, and processes that work."""

import json
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.policy.judge import judge
from lethe.deletion.request import DeletionRequest
from lethe.settings import load_settings
from tasks.desk import open_desk

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).parent / "processing_child.py"
REPO = "acme/privacy"
WAIT = 20
# What a request goes through that passes the queue once.
DONE = ["received", "approved", "in_progress", "registered", "promoted", "completed"]
# The edit itself is not what is tested: the shortest there is, whatever it costs.
ENVIRONMENT = {
    "LETHE_DEVICE": "cpu",
    "LETHE_GATES__MAX_FORGET_ACCURACY": "1.0",
    "LETHE_GATES__MAX_RETAINED_LOSS": "1.0",
    "LETHE_GATES__MAX_CLASS_LOSS": "1.0",
    "LETHE_GATES__MIN_AGREEMENT": "0.0",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    "T_TOKEN": "token-of-the-api",
    "NO_PROXY": "127.0.0.1",
}
POLICY = """
version = "test"
[models."*"]
ladder = [{{method = "pte", options = {{pull = "none", epochs = 1}}}}]
[sources.issues]
kind = "github"
models = ["*"]
datasets = ["data/digits"]
[sources.issues.fields]
model = "form.model"
dataset = "form.data_set"
classes = "split(form.classes)"
[sources.issues.answer]
api = "{url}"
token = "env:T_TOKEN"
"""


class Issues:
    """Issues by number: their comments, and how often each was closed."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.comments, self.closed = defaultdict(list), defaultdict(int)

    def answer(self, method, number, body):
        if method == "GET":
            return {"state": "closed" if self.closed[number] else "open"}
        if method == "PATCH":
            assert body["state"] == "closed"
            self.closed[number] += 1
            return {}
        self.comments[number].append(body["body"])
        return {"body": body["body"]}

    def final(self):
        """The last answers on each issue; the first one only says that it was taken in."""
        ends = {n: [t for t in texts if "has ended" in t] for n, texts in self.comments.items()}
        return {number: texts for number, texts in ends.items() if texts}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_words):
        pass

    def handle_any(self):
        size = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(size)) if size else None
        parts = self.path.partition("?")[0].removeprefix(f"/repos/{REPO}/issues/").split("/")
        issues, number = self.server.issues, int(parts[0])
        with self.server.lock:
            if self.command == "GET" and parts[1:] == ["comments"]:
                found = [{"body": text} for text in issues.comments[number]]
            else:
                found = issues.answer(self.command, number, body)
        content = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 (http.server's names)


@contextmanager
def served_issues():
    """The issues, and the address of the API that shows them."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as httpd:
        httpd.issues, httpd.lock = Issues(), threading.Lock()
        httpd.daemon_threads = True
        thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield httpd.issues, f"http://127.0.0.1:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            thread.join(WAIT)


def file_issue(number, *classes, model="digits@champion"):
    """File what an issue asks for, as the intake service does; the request's id."""
    now = datetime.now(UTC)
    request = DeletionRequest(
        model=model,
        forget=ForgetSpec(dataset="data/digits", selection=Selection(classes=classes)),
        source="issues",
        ticket=f"{REPO}#{number}",
        received_at=now,
    )
    with open_desk(load_settings()) as desk:
        judgement = judge(desk.policy, request, now=now)
        reply = {"repo": REPO, "number": number}
        return desk.ledger.file(request, judgement, actor="intake:issues", reply=reply).id


class Processes:
    """Runs of the flow in processes of their own, in one project; see `processing_child.py`."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder

    def make(self, *runs, **environment):
        """Make runs at the same time; what each found."""
        command = {"runs": runs, "folder": str(self.folder), "environment": environment}
        self.server.stdin.write(json.dumps(command) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer, "The server of processes ended; what it said is in the captured output."
        return json.loads(answer)


@contextmanager
def served_processes():
    """The server that makes them."""
    with subprocess.Popen(
        [sys.executable, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            yield server
        finally:
            with suppress(BrokenPipeError):
                server.stdin.close()
