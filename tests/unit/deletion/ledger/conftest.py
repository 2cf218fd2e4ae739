"""The ledger's suite on SQLite; tests/integration/ledger runs the same functions on PostgreSQL."""

import shutil
import sys
from pathlib import Path

import pytest

# pytest's importlib mode puts no folder on the path; this folder's tests share two modules.
sys.path.insert(0, str(Path(__file__).parent))

from ledger_fixtures import announced, clock, ledger, opened  # noqa: F401
from ledger_tools import KEY

from lethe.deletion.ledger.ledger import open_ledger


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A ledger with nothing in it: copying it is faster than migrating one for every test."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    open_ledger(f"sqlite:///{path}", key=KEY).close()
    return path


@pytest.fixture
def new_url(tmp_path):
    """Address of a ledger that is not there yet."""
    return f"sqlite:///{tmp_path / 'new' / 'ledger.db'}"


@pytest.fixture
def ledger_url(template, tmp_path):
    """Address of a ledger with nothing in it."""
    path = tmp_path / "state" / "ledger.db"
    path.parent.mkdir(mode=0o700)
    shutil.copy(template, path)
    return f"sqlite:///{path}"
