"""Brings a ledger to the present form when it is opened.

Several processes may open a new ledger at the same time: the one that gets the writer's lock makes
the tables, in one transaction, and the others find them. An old version of Lethe refuses a newer
ledger. Alembic itself is loaded only when there is something to do.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, select, text

from lethe.deletion.ledger.engine import Database
from lethe.deletion.ledger.errors import LedgerVersionError
from lethe.deletion.ledger.tables import seals
from lethe.deletion.vault import Vault

if TYPE_CHECKING:
    from alembic.config import Config

# A test holds it equal to the newest file in migrations/versions.
HEAD = "0003"
# Not Alembic's default: MLflow keeps its own version under that, perhaps in the same database.
VERSION_TABLE = "lethe_ledger_version"
_SEAL = "ledger"


def migrate(database: Database, vault: Vault) -> None:
    """Make or update the tables, and check that the key is the ledger's own.

    Raises:
        LedgerVersionError: if the ledger is newer than this version of Lethe.
        WrongKeyError: if it was written with another key.
    """
    if not database.read(lambda sql: _is_ready(sql, vault)):
        database.write(lambda sql: _make_ready(sql, vault))


def config(connection: Connection | None = None) -> "Config":
    """Alembic's configuration, made here in place of a file."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    made.attributes["connection"] = connection
    return made


def version(sql: Connection) -> str | None:
    """The version of the tables; None if there are none."""
    if not inspect(sql).has_table(VERSION_TABLE):
        return None
    found: str | None = sql.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return found


def _is_ready(sql: Connection, vault: Vault) -> bool:
    if version(sql) != HEAD:
        return False
    sealed = sql.scalar(select(seals.c.sealed).where(seals.c.name == _SEAL))
    if sealed is None:
        return False
    vault.open(sealed)
    return True


def _make_ready(sql: Connection, vault: Vault) -> None:
    now = version(sql)
    if now != HEAD:
        from alembic import command

        made = config(sql)
        _check_known(made, now)
        command.upgrade(made, "head")
    sealed = sql.scalar(select(seals.c.sealed).where(seals.c.name == _SEAL))
    if sealed is None:
        sql.execute(seals.insert(), {"name": _SEAL, "sealed": vault.seal(_SEAL)})
    else:
        vault.open(sealed)


def _check_known(made: "Config", now: str | None) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(made).walk_revisions()}
    if now is not None and now not in known:
        raise LedgerVersionError(
            "The ledger was written by a newer version of Lethe. Nothing was changed. Install that "
            "version here too, or name another ledger with ledger.url; `lethe config show` prints "
            "it."
        )
