import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from lethe.deletion.policy.model import Policy
from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.receive import receive

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)

# One secret per source, so that a mix-up shows.
SECRETS = {
    "GITHUB_SECRET": "github-secret-of-32-bytes-length",
    "GITHUB_NEXT": "the-next-github-secret-32-bytes!",
    "JIRA_SECRET": "jira-secret-of-some-32-bytes-len",
    "OPENDSR_SECRET": "opendsr-secret-of-32-bytes-lengt",
    "STANDARD_SECRET": "whsec_" + base64.b64encode(b"standard-secret-of-32-bytes-long").decode(),
    "MLFLOW_SECRET": "a-secret-without-the-prefix-then",
    "PORTAL_TOKEN": "portal-token-of-some-32-bytes-ok",
    "READER_TOKEN": "reader-token-of-some-32-bytes-ok",
    "OTHER_TOKEN": "other-portals-token-of-32-bytes!",
}

COMMON = {
    "models": ["digits@champion"],
    "datasets": ["data/digits"],
    "selections": ["classes", "subjects", "samples"],
}
TABLE = {
    "version": "test-1",
    "sources": {
        "issues": {
            "kind": "github",
            "secrets": ["env:GITHUB_SECRET", "env:GITHUB_NEXT"],
            **COMMON,
        },
        "other-issues": {"kind": "github", "secrets": ["env:MLFLOW_SECRET"], **COMMON},
        "unset": {"kind": "github", "secrets": ["env:NOT_SET_ANYWHERE"], **COMMON},
        "desk": {
            "kind": "jira",
            "secrets": ["env:JIRA_SECRET"],
            "fields": {
                "model": "plain.customfield_1",
                "dataset": "plain.customfield_2",
                "subjects": "lines(plain.customfield_3)",
            },
            **COMMON,
        },
        "controller": {
            "kind": "opendsr",
            "secrets": ["env:OPENDSR_SECRET"],
            "fields": {
                "model": "'digits@champion'",
                "dataset": "'data/digits'",
                "subjects": "subject_identities"
                "[?identity_type=='controller_customer_id'].identity_value",
                "regulation": "regulation",
            },
            "answer": {"callbacks": ["https://controller.example.org/opendsr"]},
            **COMMON,
        },
        "hooks": {"kind": "standard-webhooks", "secrets": ["env:STANDARD_SECRET"], **COMMON},
        "raw-hooks": {"kind": "standard-webhooks", "secrets": ["env:MLFLOW_SECRET"], **COMMON},
        "portal": {"kind": "plain", **COMMON},
        "other-portal": {"kind": "plain", **COMMON},
    },
    "tokens": [
        {
            "name": "portal",
            "secret": "env:PORTAL_TOKEN",
            "actor": "portal",
            "may": ["submit", "read"],
            "source": "portal",
        },
        {
            "name": "reader",
            "secret": "env:READER_TOKEN",
            "actor": "reader",
            "may": ["read"],
            "source": "portal",
        },
        {
            "name": "other",
            "secret": "env:OTHER_TOKEN",
            "actor": "other",
            "may": ["submit"],
            "source": "other-portal",
        },
    ],
}

FORM = """### Model

digits@champion

### Data set

data/digits

### Subjects

p-1, p-2
"""


@pytest.fixture(scope="session")
def policy():
    return Policy.model_validate(TABLE, context={"alias": "champion", "repository": "."})


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def get(policy):
    """Receive a delivery as the intake service does."""

    def received(source, headers, body, *, at=NOW, tolerance=FIVE_MINUTES):
        return receive(policy, source, Delivery(headers, body, at), tolerance=tolerance)

    return received


def hex_of(secret, body):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def github(payload, *, secret=SECRETS["GITHUB_SECRET"], event="issues", delivery="d-1"):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": hex_of(secret, body),
    }, body


def issue_event(**changed):
    return {
        "action": "labeled",
        "label": {"name": "data-deletion"},
        "issue": {"number": 7, "title": "Forget me", "body": FORM, "labels": []},
        "repository": {"full_name": "octo-org/privacy"},
        "sender": {"login": "octocat"},
    } | changed


def jira(payload, *, secret=SECRETS["JIRA_SECRET"]):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return {
        "content-type": "application/json; charset=UTF-8",
        "x-atlassian-webhook-identifier": "1f0c2a8e:4",
        "x-hub-signature": hex_of(secret, body),
    }, body


def jira_event(**changed):
    document = {
        "type": "doc",
        "version": 1,
        "content": [
            {"type": "paragraph", "content": [{"type": "text", "text": person}]}
            for person in ("p-1", "p-2")
        ],
    }
    return {
        "timestamp": int(NOW.timestamp() * 1000),
        "webhookEvent": "jira:issue_created",
        "user": {"displayName": "Somebody"},
        "issue": {
            "key": "PRIV-7",
            "fields": {
                "labels": ["data-deletion"],
                "customfield_1": "digits@champion",
                "customfield_2": {"value": "data/digits"},
                "customfield_3": document,
            },
        },
    } | changed


SUBJECT_REQUEST_ID = "a7551968-d5d6-44b2-9831-815ac9017798"


def opendsr_request(**changed):
    return {
        "regulation": "ccpa",
        "subject_request_id": SUBJECT_REQUEST_ID,
        "subject_request_type": "erasure",
        "submitted_time": "2026-11-20T15:00:00Z",
        "subject_identities": [
            {
                "identity_type": "controller_customer_id",
                "identity_value": "p-1",
                "identity_format": "raw",
            },
            {
                "identity_type": "email",
                "identity_value": "quill@example.org",
                "identity_format": "raw",
            },
        ],
        "api_version": "2.0",
        "status_callback_urls": ["https://controller.example.org/opendsr/callbacks"],
        "extensions": {"other.example.org": {"x": 1}},
    } | changed


def opendsr(payload, *, secret=SECRETS["OPENDSR_SECRET"]):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return {"content-type": "application/json", "x-hub-signature-256": hex_of(secret, body)}, body


def standard(payload, *, key=b"standard-secret-of-32-bytes-long", at=NOW, message="msg_1"):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    moment = str(int(at.timestamp()))
    digest = hmac.new(key, f"{message}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": moment,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }, body


def fields(**changed):
    return {"model": "digits@champion", "dataset": "data/digits", "subjects": ["p-1"]} | changed


def standard_event(**changed):
    return {"type": "deletion.requested", "data": fields(ticket="PRIV-7")} | changed


def plain(payload, *, token=SECRETS["PORTAL_TOKEN"], key="5f0c2a8e"):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return {
        "content-type": "application/json",
        "authorization": f"Bearer {token}",
        "idempotency-key": key,
    }, body


@pytest.fixture(scope="session")
def make():
    """Deliveries as their senders make them, each a pair of headers and body."""
    return SimpleNamespace(
        NOW=NOW,
        SECRETS=SECRETS,
        FIVE_MINUTES=FIVE_MINUTES,
        SUBJECT_REQUEST_ID=SUBJECT_REQUEST_ID,
        fields=fields,
        github=github,
        hex_of=hex_of,
        issue_event=issue_event,
        jira=jira,
        jira_event=jira_event,
        opendsr=opendsr,
        opendsr_request=opendsr_request,
        plain=plain,
        standard=standard,
        standard_event=standard_event,
        one_of_each=lambda: {
            "issues": github(issue_event()),
            "desk": jira(jira_event()),
            "controller": opendsr(opendsr_request()),
            "hooks": standard(standard_event()),
            "portal": plain(fields(ticket="PRIV-7")),
        },
    )
