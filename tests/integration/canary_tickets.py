"""Tickets of five systems in which every field holds a canary, and the systems that are answered.

The senders sign as the real systems do; `send_all` sends good ones and broken ones.
"""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import re
import secrets
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

SECRET = "a-secret-of-thirty-two-characters"  # noqa: S105
DPO = "token-of-the-dpo-that-is-long-enough"
WAIT = 60
BAD = range(400, 500)
PREFIX = "quill"
PLAIN = re.compile(rb"quill[0-9a-f]{10}|[0-9a-f]{10}lliuq")
DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32,64}(?![0-9a-f])")
OPENDSR = "a7551968-d5d6-44b2-9831-815ac9017798"
POLICY = """
version = "test"
[approval]
approvers = ["dpo"]
[models.digits]
ladder = [{{method = "pte"}}]
[models.people]
ladder = [{{retrain = true}}]
[sources.issues]
kind = "github"
secrets = ["env:T_SECRET"]
models = ["digits@champion"]
datasets = ["data/digits"]
[sources.issues.answer]
api = "{url}"
token = "env:T_SECRET"
[sources.desk]
kind = "jira"
secrets = ["env:T_SECRET"]
models = ["people@champion"]
datasets = ["data/people"]
[sources.desk.fields]
model = "'people@champion'"
dataset = "'data/people'"
subjects = "lines(plain.customfield_3)"
[sources.desk.answer]
api = "{url}"
user = "env:T_USER"
token = "env:T_SECRET"
[sources.controller]
kind = "opendsr"
secrets = ["env:T_SECRET"]
models = ["people@champion"]
datasets = ["data/people"]
[sources.controller.fields]
model = "'people@champion'"
dataset = "'data/people'"
subjects = "subject_identities[].identity_value"
regulation = "regulation"
[sources.controller.answer]
domain = "lethe.example.org"
key = "file:{key}"
callbacks = ["{url}/callbacks/"]
[sources.hooks]
kind = "standard-webhooks"
secrets = ["env:T_SECRET"]
models = ["digits@champion", "people@champion"]
datasets = ["data/digits", "data/people"]
[sources.portal]
kind = "plain"
models = ["digits@champion", "people@champion"]
datasets = ["data/digits", "data/people"]
[[notify]]
url = "{url}/notify"
secret = "env:T_SECRET"
on = ["received", "approved", "rejected", "in_progress", "registered", "completed", "partial",
      "failed", "refused"]
[[tokens]]
name = "portal"
secret = "env:T_SECRET"
actor = "portal"
may = ["submit"]
source = "portal"
[[tokens]]
name = "dpo"
secret = "env:T_DPO"
actor = "dpo"
may = ["read", "approve", "operate"]
"""


class Canaries:
    """Words that stand nowhere else, and the forms in which one could leak.

    As it is in any case, backwards, in base64 at each of its three offsets, or as a digest that
    needs no key.
    """

    def __init__(self):
        self.since = time.time()
        self.what, self.coded, self.digests = {}, {}, {}

    def plant(self, what):
        word = f"{PREFIX}{secrets.token_hex(5)}"
        self.what[word.encode()] = self.what[word[::-1].encode()] = what
        for offset in range(3):
            self.coded[coded(word, offset)] = what
        for name in ("md5", "sha1", "sha256"):
            self.digests[hashlib.new(name, word.encode()).hexdigest().encode()] = what
        return word

    def found(self, content):
        lower = content.lower()
        found = {self.what.get(word) for word in PLAIN.findall(lower)}
        found |= {self.digests.get(word) for word in DIGEST.findall(lower)}
        if any(coded(PREFIX, offset) in content for offset in range(3)):
            found |= {what for form, what in self.coded.items() if form in content}
        return found - {None}


def coded(text, offset):
    """What base64 makes of a text in the middle of others, without what depends on these."""
    return base64.b64encode(b"-" * offset + text.encode())[(offset * 8 + 5) // 6 : -4]


def hex_of(body, secret=SECRET):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def raw(payload):
    return payload if isinstance(payload, bytes) else json.dumps(payload).encode()


class Sender:
    """Sends deliveries as their systems do, and keeps every answer."""

    def __init__(self, port, canaries):
        self.port, self.plant, self.answers = port, canaries.plant, {}
        self.headers = {"Content-Type": "application/json", "User-Agent": self.plant("user agent")}
        self.headers |= {"Cookie": f"id={self.plant('cookie')}"}
        self.headers |= {"X-Forwarded-For": self.plant("address"), "Referer": self.plant("referer")}

    def send(self, path, body=b"", headers=None, method="POST"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        with contextlib.closing(connection):
            connection.request(method, path, body, self.headers | (headers or {}))
            answer = connection.getresponse()
            content = str(answer.headers).encode() + answer.read()
        self.answers[f"answer {len(self.answers)} to {path[:30]}"] = content
        return answer.status

    def github(self, payload, *, secret=SECRET):
        body = raw(payload)
        delivery = self.plant("delivery id")
        headers = {"X-GitHub-Event": "issues", "X-GitHub-Delivery": delivery}
        headers["X-Hub-Signature-256"] = hex_of(body, secret)
        return self.send("/webhooks/issues", body, headers)

    def jira(self, payload, *, secret=SECRET):
        body = raw(payload)
        headers = {"X-Atlassian-Webhook-Identifier": self.plant("webhook id")}
        return self.send(
            "/webhooks/desk", body, headers | {"X-Hub-Signature": hex_of(body, secret)}
        )

    def opendsr(self, payload, *, secret=SECRET):
        body = raw(payload)
        headers = {"X-Hub-Signature-256": hex_of(body, secret)}
        return self.send("/opendsr/controller/requests", body, headers)

    def standard(self, payload, *, secret=SECRET, at=None):
        body, message = raw(payload), self.plant("message id")
        moment = str(int(at or time.time()))
        signed = f"{message}.{moment}.".encode() + body
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
        headers = {"Webhook-Id": message, "Webhook-Timestamp": moment}
        headers["Webhook-Signature"] = "v1," + base64.b64encode(digest).decode()
        return self.send("/webhooks/hooks", body, headers)

    def plain(self, payload, *, token=SECRET):
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": self.plant("key")}
        return self.send("/api/v1/requests", raw(payload), headers)

    def get(self, path, headers=None):
        known = {"Authorization": f"Bearer {DPO}"}
        return self.send(path, headers=known | (headers or {}), method="GET")


def issue(plant, number, form, **changed):
    """An issue event with all that GitHub tells of people."""
    form = {**form, "Reason": f"I am {plant('name in form')}, forget me"}
    user = {key: plant(f"GitHub user's {key}") for key in ("login", "name", "avatar_url")}
    user |= {"email": f"{plant('GitHub e-mail')}@example.org"}
    body = "\n\n".join(f"### {head}\n\n{text}" for head, text in form.items())
    return {
        "action": "labeled",
        "label": {"name": "data-deletion"},
        "issue": {"number": number, "title": plant("title"), "body": body, "user": user},
        "repository": {"full_name": "acme/privacy", "owner": {"email": plant("owner's e-mail")}},
        "sender": user,
    } | changed


def digits_form(**more):
    return {"Model": "digits@champion", "Data set": "data/digits", **more}


def jira_issue(plant, key, subjects, **changed):
    """An issue event with all that Jira tells of people."""
    person = {"displayName": plant("display name"), "accountId": plant("account")}
    person |= {"emailAddress": f"{plant('Jira e-mail')}@example.org"}
    fields = {"summary": plant("summary"), "reporter": person, "labels": ["data-deletion"]}
    fields |= {"description": plant("description"), "customfield_3": "\n".join(subjects)}
    return {
        "timestamp": int(time.time() * 1000),
        "webhookEvent": "jira:issue_created",
        "user": person,
        "issue": {"key": key, "fields": fields},
        "comment": {"body": plant("Jira comment")},
    } | changed


def opendsr(plant, url, subjects, **changed):
    identities = [
        {"identity_type": "controller_customer_id", "identity_value": s, "identity_format": "raw"}
        for s in subjects
    ]
    identities[-1]["identity_type"] = "email"
    return {
        "regulation": "gdpr",
        "subject_request_id": OPENDSR,
        "subject_request_type": "erasure",
        "submitted_time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "subject_identities": identities,
        "api_version": "2.0",
        "status_callback_urls": [f"{url}/callbacks/{plant('callback address')}"],
        "extensions": {"other.example.org": {"name": plant("extension")}},
    } | changed


def ask(model="digits@champion", dataset="data/digits", **more):
    return {"model": model, "dataset": dataset, **more}


def send_all(to, plant, url, people, samples):
    """Tickets of every kind, good and broken, each answered as it should be."""
    gone, label = plant("subject that is not in the data"), plant("class that is a name")
    wrong = "another-secret-of-the-same-length"
    event = {"type": "deletion.requested"}
    hook = lambda **more: event | {"data": ask(**more)}  # noqa: E731
    free = plant("free text")

    # Carried out: a class, people by three systems, rows.
    assert to.github(issue(plant, 1, digits_form(Classes="3"))) == 202
    assert to.jira(jira_issue(plant, "PRIV-1", [people[0]])) == 202
    assert to.opendsr(opendsr(plant, url, [people[1], gone])) == 201
    told = ask("people@champion", "data/people", samples=[samples[0]], note=plant("note"))
    assert to.plain(told) == 202
    # Failed: rows of a model whose only method forgets classes.
    some = ["digits-0004", plant("sample among others")]
    assert to.standard(hook(samples=some, name=plant("hook name"))) == 202
    # Rejected, when it comes or when its rows are counted.
    assert to.standard(hook(classes=[label])) == 202
    assert to.github(issue(plant, 2, digits_form(Samples=plant("sample that is nowhere")))) == 202
    assert to.jira(jira_issue(plant, "PRIV-2", [gone, f"{gone}@example.org"])) == 202
    assert to.plain(ask(f"{plant('model')}@example.org", classes=["4"])) == 202
    assert to.plain(ask(f"{plant('model name')}/7", classes=["4"])) == 202
    assert to.plain(ask(dataset=f"data/{plant('data set')}", classes=["4"])) == 202
    assert to.plain(ask(evaluation=f"data/{plant('evaluation')}", classes=["4"])) == 202
    # Unreadable.
    assert to.github(issue(plant, 3, {"Model": plant("form's model"), "Who": free})) == 422
    assert to.github(issue(plant, 4, digits_form(Class=free))) == 422
    assert to.standard(hook(classes=[{"name": free}])) == 422
    assert to.plain(ask(classes=["4"], ground=free)) == 422
    assert to.plain(ask(classes=["4"], regulation=plant("regulation"))) == 422
    assert to.plain(ask(classes=free)) == 422
    # Not believed.
    assert to.github(issue(plant, 5, digits_form(Classes="4")), secret=wrong) == 401
    assert to.jira(jira_issue(plant, "PRIV-5", [people[2]]), secret=wrong) == 401
    assert to.opendsr(opendsr(plant, url, [people[2]]), secret=wrong) == 401
    assert to.standard(hook(subjects=[people[2]]), secret=wrong) == 401
    assert to.standard(hook(subjects=[people[2]]), at=time.time() - 3600) == 401
    assert to.plain(ask(subjects=[people[2]]), token=plant("token")) == 401
    assert to.send(f"/webhooks/{plant('source')}", raw(ask(subjects=[people[2]]))) == 401
    # Broken.
    for body in (
        f'{{"name": "{plant("half of a JSON")}'.encode(),
        f'["{plant("list")}"]'.encode(),
        f'{{"name": "{plant("not UTF-8")}\xff"}}'.encode("latin-1"),
        b'{"a":' * 500 + f'"{plant("too deep")}"'.encode() + b"}" * 500,
        f'{{"{plant("twice")}": 1, "x": NaN}}'.encode(),
    ):
        for send in (to.github, to.jira, to.opendsr, to.standard, to.plain):
            assert send(body) in BAD
    assert to.github({"name": plant("no issue"), "repository": plant("repository")}) in BAD
    assert to.opendsr(opendsr(plant, url, [people[2]], regulation=[plant("no regulation")])) in BAD
    assert to.opendsr(opendsr(plant, url, [people[2]], subject_request_id=plant("id"))) in BAD
    elsewhere = f"https://{plant('host')}.example.org/"
    assert to.opendsr(opendsr(plant, url, [people[2]], status_callback_urls=[elsewhere])) in BAD
    assert to.plain(ask(ticket=f"{plant('ticket')}@example.org", classes=["4"])) in BAD
    size = {"Content-Length": str(2**30), "Authorization": f"Bearer {SECRET}"}
    assert to.send("/api/v1/requests", raw({"name": plant("too large")}), size) == 413
    assert to.send("/webhooks/issues", b"x", {"Content-Type": plant("content type")}) in BAD


def look_everywhere(to, plant, ids):
    """Every page and list, and addresses that hold something personal."""
    paths = ["/", "/metrics", "/openapi.json", "/livez", "/readyz", "/api/v1/requests"]
    paths += [f"/{where}/{one}" for one in ids for where in ("requests", "api/v1/requests")]
    for path in paths:
        assert to.get(path) in {200, 404}, path
    for path in ("/{}", "/requests/{}", "/api/v1/requests/{}", "/opendsr/controller/requests/{}"):
        assert to.get(path.format(plant("path"))) in BAD
    assert to.get(f"/api/v1/requests?state={plant('query')}") in BAD
    assert to.get(f"/readyz?email={plant('query')}") == 200
    login = base64.b64encode(f"{plant('user')}:{plant('password')}".encode()).decode()
    assert to.get("/", {"Authorization": f"Basic {login}"}) == 401


class Tickets(BaseHTTPRequestHandler):
    """GitHub, Jira, a controller and a receiver of notifications; comments of people are there."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_words):
        pass

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = urlsplit(self.path).path
        self.server.got.append((path, str(self.headers).encode() + body))
        said = {"id": 1, "body": self.server.plant("comment of others"), "user": {"login": "x"}}
        if self.command != "GET":
            reply = json.loads(body) if "comment" in path else {}
        elif path.endswith("/comments"):
            reply = [said]
        elif path.endswith("/comment"):
            reply = {"comments": [said], "startAt": 0, "total": 1}
        elif path.endswith("/transitions"):
            done = {"name": "Done", "statusCategory": {"key": "done"}}
            reply = {"transitions": [{"id": "31", "name": "Done", "to": done}]}
        else:
            todo = {"name": "To Do", "statusCategory": {"key": "new"}}
            reply = {"state": "open", "fields": {"status": todo, "summary": said["body"]}}
        content = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 (http.server's names)
