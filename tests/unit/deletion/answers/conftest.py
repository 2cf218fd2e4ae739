"""A policy with one source of every kind, and entries in any state."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.types import Entry
from lethe.deletion.policy.model import Policy
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.settings import Settings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SUBJECT = "0b7c8f4e-5a1d-4f3e-9c2b-7d6e5f4a3b2c"
REPLIES = {
    "issues": {"repo": "acme/privacy", "number": 7},
    "desk": {"issue": "PRIV-7"},
    "controller": {
        "subject_request_id": SUBJECT,
        "status_callback_urls": ["https://one.example.org/cb", "https://two.example.org/cb"],
    },
    "portal": {},
    "bus": {},
    "silent": {"repo": "acme/privacy", "number": 8},
    "removed": {"issue": "PRIV-8"},
    "cli": {},
}
_MAPPING = {"model": "'digits@champion'", "dataset": "'data/digits'", "classes": "classes"}
TABLE = {
    "version": "test",
    "sources": {
        "issues": {"kind": "github", "answer": {"token": "env:T_GITHUB"}},
        "silent": {"kind": "github"},
        "desk": {
            "kind": "jira",
            "fields": _MAPPING,
            "answer": {"api": "https://jira.example.org", "token": "env:T_JIRA"},
        },
        "controller": {
            "kind": "opendsr",
            "fields": _MAPPING,
            "answer": {"domain": "lethe.example.org", "key": "env:T_PEM"},
        },
        "portal": {"kind": "plain"},
        "bus": {"kind": "standard-webhooks", "fields": {**_MAPPING, "ticket": "ticket"}},
    },
    "notify": [
        {"url": "https://hooks.example.org/all", "secret": "env:T_HOOK", "on": [*map(str, State)]},
        {"url": "https://hooks.example.org/ends", "secret": "env:T_HOOK"},
    ],
}


@pytest.fixture(scope="session")
def policy():
    return Policy.model_validate(TABLE)


@pytest.fixture(scope="session")
def settings():
    return Settings(intake={"public_url": "https://lethe.example.org/"})


@pytest.fixture(scope="session")
def entry():
    """Makes an entry of a source in a state."""

    def make(source="issues", state=State.APPROVED, *, subjects=("person-1",), **fields):
        request = DeletionRequest(
            id="req-0123456789ab",
            model="digits@champion",
            forget=ForgetSpec(dataset="data/digits", selection=Selection(subjects=subjects)),
            source=source,
            received_at=NOW,
        )
        given = {"reason": None, "updated_at": NOW, "reply": REPLIES[source], **fields}
        return replace(Entry(request, state, given.pop("reason"), given.pop("updated_at")), **given)

    return make
