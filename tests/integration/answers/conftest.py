"""A local HTTP server that answers like GitHub, Jira or a receiver, and makes trouble on demand."""

import json
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.answers.announce import announcer
from lethe.deletion.answers.deliver import deliver
from lethe.deletion.answers.http import Patience
from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.types import Facts, Judgement, Outcome
from lethe.deletion.policy.model import Policy
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.keys import record_key
from lethe.settings import Settings

QUICK = Patience(step=0.3, call=0.6, letter=2.0)
WAIT = 20


@dataclass(frozen=True)
class Asked:
    """One request that the server got."""

    method: str
    path: str
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)


@dataclass
class Server:
    """Answers with `app(asked) -> (status, JSON)`, unless trouble is due for a matching request.

    A trouble is (method, end of the path, kind): a status, a pair of status and headers, "hang"
    (no effect and no answer), "take and hang", "take and hang up" (the effect without the answer).
    """

    app: object = None
    asked: list = field(default_factory=list)
    troubles: deque = field(default_factory=deque)
    url: str = ""
    taken: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def trouble(self, method, path):
        with self.lock:
            for one in self.troubles:
                if one[0] == method and path.endswith(one[1]):
                    self.troubles.remove(one)
                    return one[2]
        return None

    def take(self, asked):
        with self.lock:
            return self.app(asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "test"

    def log_message(self, *_words):
        pass

    def handle_any(self):
        server = self.server.stage
        size = int(self.headers.get("content-length", 0))
        path = urlsplit(self.path).path
        asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(size))
        server.asked.append(asked)
        trouble = server.trouble(self.command, path)
        if isinstance(trouble, str):
            self.close_connection = True
            if trouble.startswith("take"):
                server.take(asked)
            server.taken.set()
            if trouble.endswith("hang"):
                server.over.wait(WAIT)
        elif trouble is not None:
            status, headers = trouble if isinstance(trouble, tuple) else (trouble, {})
            self.reply(status, {"message": "trouble"}, headers)
        else:
            self.reply(*server.take(asked))

    do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 (http.server's names)

    def reply(self, status, body, headers=None):
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def served(app, tls=None):
    stage = Server(app)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as httpd:
        httpd.stage = stage
        httpd.daemon_threads = True
        scheme = "http"
        if tls is not None:
            httpd.socket = tls.wrap_socket(httpd.socket, server_side=True)
            scheme = "https"
        stage.url = f"{scheme}://127.0.0.1:{httpd.server_address[1]}"
        thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield stage
        finally:
            stage.over.set()
            httpd.shutdown()
            thread.join(WAIT)


class GitHub:
    """Issues with comments, as the REST API shows them."""

    def __init__(self, page=100):
        self.comments, self.state, self.reason, self.closed, self.page = [], "open", None, 0, page

    def __call__(self, asked):
        parts = urlsplit(asked.path)
        if asked.method == "GET" and parts.path.endswith("/comments"):
            number = int(parse_qs(parts.query)["page"][0])
            shown = self.comments[(number - 1) * self.page : number * self.page]
            more = number * self.page < len(self.comments)
            return 200, shown, {"Link": '<https://x>; rel="next"'} if more else {}
        if asked.method == "POST":
            self.comments.append({"body": asked.json()["body"]})
            return 201, self.comments[-1]
        if asked.method == "PATCH":
            self.state, self.reason = asked.json()["state"], asked.json()["state_reason"]
            self.closed += 1
        return 200, {"state": self.state, "comments": len(self.comments)}


class Jira:
    """Issues with comments and a workflow, as the REST API shows them."""

    def __init__(self, page=100):
        self.comments, self.status, self.moves, self.page = [], "To Do", 0, page

    def __call__(self, asked):
        parts = urlsplit(asked.path)
        done = {"name": "Done", "statusCategory": {"key": "done"}}
        if asked.method == "GET" and parts.path.endswith("/comment"):
            start = int(parse_qs(parts.query)["startAt"][0])
            shown = self.comments[start : start + self.page]
            return 200, {"comments": shown, "startAt": start, "total": len(self.comments)}
        if asked.method == "POST" and parts.path.endswith("/comment"):
            self.comments.append({"body": asked.json()["body"]})
            return 201, self.comments[-1]
        if asked.method == "POST":
            assert asked.json() == {"transition": {"id": "31"}}
            self.status, self.moves = "Done", self.moves + 1
            return 204, None
        if parts.path.endswith("/transitions"):
            todo = {"name": "To Do", "statusCategory": {"key": "new"}}
            return 200, {
                "transitions": [
                    {"id": "11", "name": "Reopen", "to": todo},
                    {"id": "31", "name": "Finish", "to": done},
                ]
            }
        status = done if self.status == "Done" else {"name": self.status}
        return 200, {"fields": {"status": status}}


class Receiver:
    """Keeps what is posted to it, once per message id as a good receiver does."""

    def __init__(self):
        self.messages, self.effects = [], {}

    def __call__(self, asked):
        self.messages.append(asked)
        headers = {name.lower(): value for name, value in asked.headers.items()}
        self.effects.setdefault(headers.get("webhook-id", asked.body), asked)
        return 202, None


@pytest.fixture(autouse=True)
def _straight(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("T_TOKEN", "token-of-the-api")
    monkeypatch.setenv("T_USER", "bot@example.org")
    monkeypatch.setenv("T_HOOK", "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=")


@pytest.fixture
def github():
    with served(GitHub()) as server:
        yield server


@pytest.fixture
def jira():
    with served(Jira()) as server:
        yield server


@pytest.fixture
def receiver():
    with served(Receiver()) as server:
        yield server


class Desk:
    """A ledger with a clock that the test moves, a policy, and the deliverer."""

    def __init__(self, folder, table):
        self.now = datetime.now(UTC)
        self.folder, self.table = folder, {"version": "test", **table}
        self.settings = Settings(home=folder)
        self.policy = Policy.model_validate(self.table)
        self.ledgers = []
        self.ledger = self.open()

    def open(self):
        ledger = open_ledger(
            f"sqlite:///{self.folder / 'ledger.db'}",
            key=record_key(self.settings.record_key_file),
            announce=announcer(self.policy, self.settings),
            clock=lambda: self.now,
        )
        self.ledgers.append(ledger)
        return ledger

    def file(self, source, reply, *, state=State.APPROVED, subject="person-1", **more):
        request = DeletionRequest(
            model="digits@champion",
            forget=ForgetSpec(dataset="data/digits", selection=Selection(subjects=(subject,))),
            source=source,
            received_at=self.now,
        )
        due = self.now + timedelta(days=30)
        judgement = Judgement(state, "allowed by the policy", due_at=due, **more)
        return self.ledger.file(request, judgement, actor=f"intake:{source}", reply=reply).id

    def carry_out(self, *ids, end=State.COMPLETED):
        """Take approved requests to an end."""
        batch = self.ledger.claim("worker", lease=timedelta(hours=1), limit=1000, ids=ids)
        facts = Facts(parent="digits/3", successor="digits/4", verdict="suppressed")
        first = State.REGISTERED if end in {State.COMPLETED, State.PARTIAL} else end
        done = Outcome(first, "done", facts)
        self.ledger.conclude(batch, {entry.id: done for entry in batch.entries})
        if end != first:
            for entry in batch.entries:
                self.ledger.move(entry.id, end, actor="worker")

    def later(self, **time):
        self.now += timedelta(**time)

    def deliver(self, *, ledger=None, worker="test", **options):
        options = {
            "clock": lambda: self.now,
            "lease": timedelta(seconds=10),
            "patience": QUICK,
            "backoff": lambda _: timedelta(seconds=30),
            **options,
        }
        return deliver(ledger or self.ledger, self.policy, self.settings, worker=worker, **options)

    def rounds(self, number=12, **options):
        """Deliver again and again until nothing is owed."""
        for _ in range(number):
            self.deliver(**options)
            if not self.ledger.letters_owed():
                return
            self.later(hours=7)
        pytest.fail(f"still owed: {self.ledger.letters_owed()}")


@pytest.fixture
def desk(tmp_path):
    """Makes a desk from a policy's tables."""
    made = []

    def make(**table):
        folder = tmp_path / f"desk-{len(made)}"
        folder.mkdir()
        made.append(Desk(folder, table))
        return made[-1]

    yield make
    for one in made:
        for ledger in one.ledgers:
            ledger.close()


@pytest.fixture
def serve():
    """The server for an app of the test's own, as a context."""
    return served
