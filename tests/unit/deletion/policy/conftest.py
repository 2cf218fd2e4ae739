"""Policies from TOML text, and requests."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.policy.load import read_policy
from lethe.deletion.request import DeletionRequest
from lethe.settings import Settings

FILE = Path("policy.toml")
PORTAL = """
[sources.portal]
kind = "plain"
models = ["digits@champion", "watch@*"]
datasets = ["data/*"]
"""


@pytest.fixture
def now():
    return datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@pytest.fixture
def policy_of():
    """A policy from TOML without its version, beside the source "portal"."""

    def make(text="", *, portal=True, **settings):
        table = tomllib.loads('version = "t1"\n' + text + (PORTAL if portal else ""))
        return read_policy(table, FILE, Settings(**settings))

    return make


@pytest.fixture
def request_of(now):
    """A request of the source "portal"."""

    def make(model="digits@champion", dataset="data/digits", *, whole=False, **fields):
        lists = {k: fields.pop(k) for k in ("classes", "subjects", "samples") if k in fields}
        selection = Selection(**lists or ({} if whole else {"classes": ("3",)}))
        forget = ForgetSpec(dataset=dataset, selection=None if whole else selection, whole=whole)
        return DeletionRequest(
            model=model, forget=forget, received_at=now, **{"source": "portal", **fields}
        )

    return make
