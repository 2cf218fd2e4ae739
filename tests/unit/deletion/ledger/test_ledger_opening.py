"""Opening a ledger: its tables are made once, by whoever comes first, and for one key."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_tools import KEY, a_request, judged
from sqlalchemy import create_engine, inspect, text

from lethe.deletion.ledger import migrate
from lethe.deletion.ledger.engine import Database
from lethe.deletion.ledger.errors import LedgerUnavailableError, LedgerVersionError
from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.tables import metadata
from lethe.errors import SettingsError


def in_the_database(url, work):
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            return work(connection)
    finally:
        engine.dispose()


def difference(connection):
    """What the tables of a database and those of the code have not in common."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    options = {"version_table": migrate.VERSION_TABLE, "compare_type": True}
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def test_the_migrations_make_exactly_the_tables_of_the_code(new_url):
    open_ledger(new_url, key=KEY).close()
    assert in_the_database(new_url, difference) == []


def test_the_comparison_notices_a_column_and_an_index_too_many(new_url):
    open_ledger(new_url, key=KEY).close()

    def spoil(connection):
        connection.execute(text("ALTER TABLE moves ADD COLUMN more TEXT"))
        connection.execute(text("DROP INDEX ix_moves_request_id"))

    in_the_database(new_url, spoil)
    assert len(in_the_database(new_url, difference)) == 2


def test_the_migrations_can_be_undone_to_nothing_and_made_again(new_url):
    from alembic import command

    open_ledger(new_url, key=KEY).close()
    in_the_database(new_url, lambda sql: command.downgrade(migrate.config(sql), "base"))
    left = in_the_database(new_url, lambda sql: inspect(sql).get_table_names())
    assert set(left) <= {migrate.VERSION_TABLE}
    ledger = open_ledger(new_url, key=KEY)
    ledger.file(a_request(), judged(), actor="cli")
    ledger.close()


def test_the_newest_migration_is_the_one_that_the_code_wants():
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(migrate.config())
    assert scripts.get_heads() == [migrate.HEAD]
    assert [s.down_revision for s in scripts.walk_revisions()][-1] is None


def test_a_ledger_newer_than_the_code_is_refused_and_left_alone(ledger_url):
    def set_version(value):
        query = text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = :to")  # noqa: S608
        in_the_database(ledger_url, lambda sql: sql.execute(query, {"to": value}))

    set_version("9999")
    try:
        with pytest.raises(LedgerVersionError, match="newer version of Lethe"):
            open_ledger(ledger_url, key=KEY)
    finally:
        set_version(migrate.HEAD)
    open_ledger(ledger_url, key=KEY).close()


def test_another_key_is_refused_at_once_and_the_setting_named(ledger_url):
    with pytest.raises(SettingsError, match="key_file"):
        open_ledger(ledger_url, key=KEY[::-1])


def test_an_empty_ledger_belongs_to_the_key_it_was_opened_with_first(new_url):
    open_ledger(new_url, key=KEY[::-1]).close()
    with pytest.raises(SettingsError, match="key_file"):
        open_ledger(new_url, key=KEY)


def test_threads_that_open_a_new_ledger_at_once_all_succeed(new_url):
    with ThreadPoolExecutor(6) as pool:
        ledgers = list(pool.map(lambda _: open_ledger(new_url, key=KEY), range(6)))
    filed = ledgers[0].file(a_request(), judged(), actor="cli")
    assert [ledger.get(filed.id) for ledger in ledgers] == [filed] * 6
    for ledger in ledgers:
        ledger.close()


def test_a_database_that_shows_no_sign_of_life_is_told_without_its_address():
    url = "postgresql://someone:pass-word@127.0.0.1:1/ledger"
    with pytest.raises(LedgerUnavailableError) as unavailable:
        open_ledger(url, key=KEY)
    assert "pass-word" not in str(unavailable.value)
    assert unavailable.value.__suppress_context__


@pytest.mark.parametrize(
    "url", ["mysql://u:pass-word@h/d", "pass-word", "", "sqlite://", "sqlite:///:memory:"]
)
def test_an_address_of_something_else_is_refused_and_not_repeated(url):
    with pytest.raises(SettingsError, match=r"ledger\.url") as refused:
        open_ledger(url, key=KEY)
    assert "pass-word" not in str(refused.value)


def test_values_do_not_show_in_the_errors_of_the_database(ledger_url):
    database = Database(ledger_url)

    def fail(connection):
        connection.execute(text("INSERT INTO seals (name, sealed) VALUES (:n, :s)"), CANARY)
        connection.execute(text("INSERT INTO seals (name, sealed) VALUES (:n, :s)"), CANARY)

    CANARY = {"n": "canary-name", "s": b"canary-bytes"}  # noqa: N806
    with pytest.raises(Exception, match="did not take a value") as refused:
        database.write(fail)
    assert "canary" not in str(refused.value)
    assert refused.value.__suppress_context__
    database.close()


def test_what_raises_leaves_nothing_behind(ledger_url):
    database = Database(ledger_url)

    def fail(connection):
        connection.execute(text("DELETE FROM seals"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(fail)
    rows = database.read(lambda sql: sql.scalar(text("SELECT count(*) FROM seals")))
    assert rows == 1
    database.close()
