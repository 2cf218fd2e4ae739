"""A stand-in for a ticket system: the part of GitHub's REST API that answers need."""

import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from infra.stack.errors import StackError


@dataclass
class Issue:
    """What became of one issue."""

    comments: list[str] = field(default_factory=list)
    is_open: bool = True
    tokens: set[str | None] = field(default_factory=set)


class Tickets:
    """All issues; whoever waits is told of every change."""

    def __init__(self) -> None:
        self.issues: dict[int, Issue] = {}
        self.changed = threading.Condition()

    def answer(self, method: str, path: str, token: str | None, body: Any) -> Any:
        """Do what GitHub does with a comment, a change of state, or a question."""
        number = int(path.partition("/issues/")[2].partition("/")[0].partition("?")[0])
        with self.changed:
            issue = self.issues.setdefault(number, Issue())
            issue.tokens.add(token)
            if method == "POST":
                issue.comments.append(body["body"])
            elif method == "PATCH":
                issue.is_open = body["state"] == "open"
            self.changed.notify_all()
            if method == "GET" and "/comments" in path:
                return [{"body": text} for text in issue.comments]
            return {"state": "open" if issue.is_open else "closed"}

    def wait(
        self, number: int, *, comments: int = 0, closed: bool = False, seconds: float
    ) -> Issue:
        """Wait until an issue has so many comments, or is closed.

        Raises:
            StackError: if that does not happen in time.
        """

        def reached() -> bool:
            issue = self.issues.get(number, Issue())
            return len(issue.comments) >= comments and not (closed and issue.is_open)

        with self.changed:
            if not self.changed.wait_for(reached, seconds):
                raise StackError(f"Issue {number} was not answered within {seconds:.0f} s.")
            return self.issues[number]


@contextmanager
def serving(tickets: Tickets, host: str, port: int) -> Iterator[None]:
    """Serve them for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
            """Log nothing."""

        def do_any(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(size) or b"null")
            token = self.headers["authorization"]
            content = json.dumps(tickets.answer(self.command, self.path, token, body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_any  # noqa: N815 (http.server's names)

    with ThreadingHTTPServer((host, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def labelled(number: int, classes: str, model: str = "digits@champion") -> dict[str, Any]:
    """The event that GitHub sends when an issue, opened through a form, gets a label."""
    form = f"### Model\n\n{model}\n\n### Data set\n\ndata/digits\n\n### Classes\n\n{classes}"
    return {
        "action": "labeled",
        "label": {"name": "data-deletion"},
        "issue": {"number": number, "body": form, "user": {"login": "somebody"}},
        "repository": {"full_name": "example/models"},
    }


def deliver(
    address: str,
    event: dict[str, Any],
    *,
    delivery: str,
    secret: str,
    verify: ssl.SSLContext | bool = True,
) -> httpx.Response:
    """Send an event as GitHub does: signed, with the delivery's id."""
    body = json.dumps(event).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    return httpx.post(
        f"{address}/webhooks/tickets", content=body, headers=headers, timeout=30, verify=verify
    )
