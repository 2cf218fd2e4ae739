"""The application in this process, on a real ledger and a real policy."""

import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

# pytest's importlib mode puts no folder on the path; this folder's tests share intake_client, and
# audit_statements with those of the audit trail.
sys.path.insert(0, str(Path(__file__).parents[2] / "audit"))
sys.path.insert(0, str(Path(__file__).parent))
from intake_client import POLICY, SECRET, TOKENS

from lethe.deletion.intake.app import create_app
from lethe.deletion.intake.reload import LivePolicy
from lethe.deletion.ledger.ledger import open_ledger
from lethe.settings import Settings


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("TEST_SECRET", SECRET)
    for name, token in TOKENS.items():
        monkeypatch.setenv(f"TEST_{name.upper()}", token)


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "policy.toml").write_text(POLICY, encoding="utf-8")
    return Settings(home=tmp_path / "state", policy={"file": tmp_path / "policy.toml"})


@pytest.fixture
def ledger(settings):
    with open_ledger(settings.ledger_url, key=b"k" * 32) as ledger:
        yield ledger


@pytest.fixture
def start(ledger, settings):
    """Start the application; options go to `create_app`, `listen` into the intake's settings."""
    clients = []

    def run(*, policy=None, listen=None, **options):
        changed = settings.intake.model_copy(update=listen or {})
        mine = settings.model_copy(update={"intake": changed})
        app = create_app(options.pop("ledger", ledger), policy or LivePolicy(mine), mine, **options)
        clients.append(TestClient(app, raise_server_exceptions=False))
        return clients[-1].__enter__()

    yield run
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(start):
    return start()
