"""Records are added at the end, once for each piece of work, and never changed."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_tools import START
from sqlalchemy import delete, update

from lethe.deletion.ledger.errors import LedgerUnavailableError
from lethe.deletion.ledger.statements import Kept
from lethe.deletion.ledger.tables import statements
from lethe.errors import LetheError


def record(last, name):
    number = 1 if last is None else last.sequence + 1
    return Kept(number, f"{name:0>64}", f"run-{name}", "k" * 64, START, name.encode(), "[]")


def add(ledger, name, *, work=None):
    return ledger.statements.append(work or name, lambda last: record(last, name))


def test_records_are_numbered_from_one_and_read_in_order(ledger, opened):
    for name in "abc":
        add(ledger, name)
    found = list(opened().statements.after())
    assert [(kept.sequence, kept.line) for kept in found] == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert [kept.sequence for kept in ledger.statements.after(2)] == [3]
    assert ledger.statements.last() == found[-1]
    assert ledger.statements.count() == 3
    assert ledger.statements.get(found[1].digest) == found[1]
    assert ledger.statements.of_run("run-b") == [found[1]]
    assert found[0].signed_at == START


def test_an_empty_chain_has_no_end(ledger):
    assert ledger.statements.last() is None
    assert ledger.statements.count() == 0
    assert list(ledger.statements.after()) == []
    assert ledger.statements.get("0" * 64) is None


def test_work_is_recorded_once(ledger, opened):
    first = add(ledger, "a", work="run-1/weights")
    assert add(opened(), "other", work="run-1/weights") == first
    assert ledger.statements.count() == 1


def test_who_was_overtaken_makes_the_record_again_for_the_next_place(ledger, opened):
    asked = []

    def make(last):
        asked.append(None if last is None else last.sequence)
        if len(asked) == 1:
            add(opened(), "faster")
        return record(last, "slower")

    assert ledger.statements.append("slower", make).sequence == 2
    assert asked == [None, 1]


def test_who_was_overtaken_with_the_same_work_gets_its_record(ledger, opened):
    def make(last):
        add(opened(), "faster", work="same")
        return record(last, "slower")

    assert ledger.statements.append("same", make).line == b"faster"
    assert ledger.statements.count() == 1


def test_many_at_once_leave_no_gap_and_no_fork(opened):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: add(opened(), f"{n}"), range(24)))
    found = list(opened().statements.after())
    assert [kept.sequence for kept in found] == list(range(1, 25))
    assert {kept.line for kept in found} == {str(n).encode() for n in range(24)}


@pytest.mark.parametrize(
    "change", [update(statements).values(line=b"changed"), delete(statements)], ids=str
)
def test_the_database_itself_refuses_any_change(ledger, change):
    before = add(ledger, "a")
    with pytest.raises(LetheError, match="Nothing was changed"):
        ledger._run.database.write(lambda sql: sql.execute(change))
    assert list(ledger.statements.after()) == [before]


def test_a_maker_that_fails_leaves_nothing(ledger):
    def fail(_last):
        raise LedgerUnavailableError("the key management service does not answer")

    with pytest.raises(LedgerUnavailableError):
        ledger.statements.append("a", fail)
    assert ledger.statements.count() == 0
