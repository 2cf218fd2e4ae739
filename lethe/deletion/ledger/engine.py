"""One way to the database: short transactions, one writer at a time, on SQLite and PostgreSQL.

Whoever writes has the ledger alone: BEGIN IMMEDIATE on SQLite, a transaction-wide advisory lock on
PostgreSQL. A transaction therefore sees everything that was committed before it, and what it reads
stays true until it commits; no method of the ledger needs a lock of its own. Readers are not held
up (WAL, MVCC) and see one snapshot.

A SQLite file is made readable by its owner only, in a folder likewise, and every commit is on disk
before it returns (synchronous=FULL). What is deleted there is overwritten (secure_delete).
Parameters never show in errors: they hold what tickets say.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lethe.deletion.ledger.errors import LedgerUnavailableError, LedgerValueError
from lethe.errors import SettingsError

Kind = Literal["sqlite", "postgresql"]
T = TypeVar("T")

BUSY_SECONDS = 30
# Whoever reads for longer is not waited for: the log is emptied another time.
SETTLE_MILLISECONDS = 1000
# Any number, the same for every writer of a ledger: "lethe" in ASCII.
WRITER_LOCK = 0x6C65746865
_ATTEMPTS = 5
_WRITES = "lethe_writes"
# serialization failure, deadlock: the server undid the transaction and asks for another try.
_AGAIN = frozenset({"40001", "40P01"})
# A value or a statement is at fault; every other error of a driver is the database's own.
_OF_VALUES = (DataError, IntegrityError, ProgrammingError)


class Database:
    """A connection pool with transactions that write and transactions that read.

    Args:
        url: SQLAlchemy URL of a SQLite file or a PostgreSQL database.

    Raises:
        SettingsError: if the URL is not one of these.
    """

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        self.kind: Kind = "sqlite" if parsed.get_backend_name() == "sqlite" else "postgresql"
        if self.kind == "sqlite":
            _make_file(Path(str(parsed.database)))
            self._engine = _sqlite(parsed)
            self._reading = self._engine
        else:
            self._engine = _postgresql(parsed)
            self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._writing = self._engine.execution_options(**{_WRITES: True})
        event.listen(self._engine, "begin", _begin)
        # Threads of one process wait here, in order, and not inside the database.
        self._turn = threading.Lock()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run in one transaction as the only writer; nothing is kept if it raises.

        Raises:
            LedgerUnavailableError: if the database cannot be reached or stays locked.
            LedgerValueError: if it does not take a value.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._turn, self._writing.begin() as connection:
                    return work(connection)
            except (StatementError, PoolTimeoutError) as error:
                if _sqlstate(error) in _AGAIN and attempt < _ATTEMPTS:
                    continue
                raise explain(error) from None
        raise AssertionError  # the last attempt returns or raises

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run in one transaction that sees one snapshot and changes nothing.

        Raises:
            LedgerUnavailableError: if the database cannot be reached.
        """
        try:
            with self._reading.connect() as connection:
                return work(connection)
        except (StatementError, PoolTimeoutError) as error:
            raise explain(error) from None

    def settle(self) -> bool:
        """Bring what was overwritten into the SQLite file itself and empty the write-ahead log.

        Returns:
            Whether that was done; not while somebody reads, and not on PostgreSQL, whose vacuum
            and write-ahead log are the server's own. The last one to close the file does so too.
        """
        if self.kind != "sqlite":
            return False
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={SETTLE_MILLISECONDS}")
            busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        finally:
            connection.close()
        return not busy

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        known = parsed.get_backend_name() in {"sqlite", "postgresql"}
    except ArgumentError:
        known = False
    if not known:
        # The URL may hold a password, so it is not repeated.
        raise SettingsError(
            "ledger.url is not the address of a SQLite file or a PostgreSQL database. Nothing was "
            "opened. Write sqlite:////path/to/ledger.db or postgresql+psycopg://HOST/NAME; "
            "`lethe config show` prints settings."
        )
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.database in {None, "", ":memory:"}:
        raise SettingsError(
            "ledger.url names a SQLite database in memory, which forgets requests when the process "
            "ends. Nothing was opened. Name a file: sqlite:////path/to/ledger.db."
        )
    return parsed


def _make_file(path: Path) -> None:
    """The database's file, empty, if there is none: it must never be readable by others."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise SettingsError(
            f"The ledger's file {path} cannot be opened: {error.strerror}. Nothing was changed. "
            "Name another one with the setting ledger.url, or give its owner write access."
        ) from None


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        # The driver shall not begin transactions by itself; `_begin` says which kind it is.
        connection.isolation_level = None
        for pragma in ("foreign_keys=ON", "synchronous=FULL", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        _use_wal(connection)

    return engine


def _use_wal(connection: Any) -> None:
    """Switch to the write-ahead log; SQLite does not wait by itself where two do so at once."""
    import sqlite3

    until = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _postgresql(url: URL) -> Engine:
    milliseconds = BUSY_SECONDS * 1000
    limits = (
        f"-c lock_timeout={milliseconds} -c idle_in_transaction_session_timeout={2 * milliseconds}"
    )
    defaults = {"connect_timeout": 10, "options": limits, "application_name": "lethe"}
    return create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={name: v for name, v in defaults.items() if name not in url.query},
    )


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
    elif writes:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")


def _sqlstate(error: Exception) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def explain(error: SQLAlchemyError) -> LedgerUnavailableError | LedgerValueError:
    """An error of the database without its text, which may repeat values or the address."""
    cause = type(getattr(error, "orig", None) or error).__name__
    code = _sqlstate(error)
    what = f"{cause}{f' {code}' if code else ''}"
    if isinstance(error, DBAPIError | PoolTimeoutError) and not isinstance(error, _OF_VALUES):
        return LedgerUnavailableError(
            f"The ledger cannot be used at the moment: {what}. Nothing was changed by this step. "
            "Check that the database runs and that no other process keeps it locked, then try "
            "again; `lethe config show` prints ledger.url."
        )
    return LedgerValueError(
        f"The ledger's database did not take a value: {what}. Nothing was changed by this step. "
        "`lethe requests list` shows what is there."
    )
