"""Signed tickets, and the processes that send them as ticket systems do. For benchmarks/intake.py.

A sender keeps one connection open, sends one ticket at a time, and sends it again with the same
delivery id after a refused or broken connection, a timeout or a 5xx. It imports nothing of Lethe:
what it knows of signatures is what the ticket systems' documentation says.
"""

import base64
import hashlib
import hmac
import http.client
import json
import random
import time
from dataclasses import dataclass
from typing import Any

SECRET = "benchmark-secret-of-32-characters"  # noqa: S105 (of a throw-away service)
SECRET_VARIABLE = "INTAKE_BENCHMARK_SECRET"  # noqa: S105
GITHUB, JIRA, STANDARD = "issues", "jira", "standard"
POLICY = f"""
version = "benchmark"
[sources.{GITHUB}]
kind = "github"
secrets = ["env:{SECRET_VARIABLE}"]
models = ["digits@*"]
datasets = ["data/*"]
[sources.{JIRA}]
kind = "jira"
secrets = ["env:{SECRET_VARIABLE}"]
models = ["digits@*"]
datasets = ["data/*"]
[sources.{JIRA}.fields]
model = "issue.fields.model"
dataset = "issue.fields.dataset"
subjects = "issue.fields.subjects"
[sources.{STANDARD}]
kind = "standard-webhooks"
secrets = ["env:{SECRET_VARIABLE}"]
models = ["digits@*"]
datasets = ["data/*"]
"""
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Post:
    """One delivery. `ticket` is None for a broken one, which must leave no request."""

    source: str
    ticket: str | None
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answered:
    """What a post led to: status, request id, seconds of the last attempt, number of attempts."""

    post: int
    status: int
    request_id: str | None
    seconds: float
    attempts: int
    at: float


def make_posts(number: int, *, duplicates: float, broken: float, seed: int) -> list[Post]:
    """Deliveries in random order, duplicates of tickets and broken ones among them.

    Half of the duplicates are deliveries repeated as they were, half are new deliveries of a ticket
    that was there before.
    """
    chance = random.Random(seed)  # noqa: S311 (no secret)
    repeated, wrong = round(number * duplicates), round(number * broken)
    makers = (_github, _jira, _standard)
    kept = [makers[n % 3](n, f"delivery-{n}") for n in range(number - repeated - wrong)]
    again = []
    for n in range(repeated):
        chosen = chance.randrange(len(kept))
        new = makers[chosen % 3](chosen, f"delivery-{number + n}")
        again.append(kept[chosen] if n % 2 else new)
    spoilt = [_break(makers[n % 3](number + n, f"broken-{n}"), n) for n in range(wrong)]
    posts = kept + again + spoilt
    chance.shuffle(posts)
    return posts


def send_all(
    port: int, posts: list[tuple[int, Post]], answers: Any, start: Any, progress: Any
) -> None:
    """Body of a sender's process: every post until it is answered for good."""
    start.wait()
    connection = _connect(port)
    done: list[Answered] = []
    for index, post in posts:
        deadline = time.monotonic() + PATIENCE_SECONDS
        attempts = 0
        while True:
            attempts += 1
            began = time.perf_counter()
            try:
                connection.request("POST", f"/webhooks/{post.source}", post.body, post.headers)
                reply = connection.getresponse()
                status, body = reply.status, reply.read()
            except (OSError, http.client.HTTPException):
                status, body = 0, b""
                connection.close()
                connection = _connect(port)
            ended = time.perf_counter()
            if 0 < status < 500 or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        request_id = json.loads(body).get("request_id") if status == 202 else None
        done.append(Answered(index, status, request_id, ended - began, attempts, time.time()))
        with progress.get_lock():
            progress.value += 1
    connection.close()
    answers.put(done)


def _connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=20)


def _github(n: int, delivery: str) -> Post:
    form = f"### Model\n\ndigits@champion\n\n### Data set\n\ndata/digits\n\n### Subjects\n\ns-{n}"
    body = _json(
        {
            "action": "labeled",
            "label": {"name": "data-deletion"},
            "issue": {"number": n + 1, "title": "Please delete", "body": form},
            "repository": {"full_name": "example/privacy"},
        }
    )
    headers = {
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": _hex(body),
    }
    return Post(GITHUB, f"example/privacy#{n + 1}", headers | _JSON, body)


def _jira(n: int, delivery: str) -> Post:
    fields = {
        "labels": ["data-deletion"],
        "model": "digits@champion",
        "dataset": "data/digits",
        "subjects": [f"s-{n}"],
    }
    body = _json(
        {
            "webhookEvent": "jira:issue_created",
            "timestamp": round(time.time() * 1000),
            "issue": {"key": f"PRIV-{n}", "fields": fields},
        }
    )
    headers = {"X-Hub-Signature": _hex(body), "X-Atlassian-Webhook-Identifier": delivery}
    return Post(JIRA, f"PRIV-{n}", headers | _JSON, body)


def _standard(n: int, delivery: str) -> Post:
    data = {
        "ticket": f"T-{n}",
        "model": "digits@champion",
        "dataset": "data/digits",
        "subjects": [f"s-{n}"],
    }
    body = _json({"type": "deletion.requested", "data": data})
    now = str(round(time.time()))
    signed = hmac.digest(SECRET.encode(), f"{delivery}.{now}.".encode() + body, "sha256")
    headers = {
        "webhook-id": delivery,
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    return Post(STANDARD, f"T-{n}", headers | _JSON, body)


_JSON = {"Content-Type": "application/json"}
_SIGNATURES = ("X-Hub-Signature-256", "X-Hub-Signature", "webhook-signature")


def _break(post: Post, n: int) -> Post:
    """Spoil a delivery: no signature, a wrong one, another body, or a body that is no ticket."""
    name = next(name for name in _SIGNATURES if name in post.headers)
    headers, body = dict(post.headers), post.body
    match n % 4:
        case 0:
            del headers[name]
        case 1:
            headers[name] = headers[name][:-1] + ("1" if headers[name][-1] == "0" else "0")
        case 2:
            body = body.replace(b"data/digits", b"data/others")
        case _:
            body = body[: len(body) // 2]
            headers = _github(0, f"cut-{n}").headers | {"X-Hub-Signature-256": _hex(body)}
            return Post(GITHUB, None, headers, body)
    return Post(post.source, None, headers, body)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _hex(body: bytes) -> str:
    return f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"
