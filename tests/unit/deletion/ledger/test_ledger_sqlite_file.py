"""The SQLite file: nobody else can read it, and whoever does finds nobody named in it."""

import os
import sqlite3
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from ledger_tools import KEY, MINUTE, a_request, an_arrival, ids_in, judged
from sqlalchemy import text

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.engine import Database
from lethe.deletion.ledger.errors import LedgerUnavailableError
from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.types import Letter, Outcome
from lethe.deletion.states import State
from lethe.errors import SettingsError

# How a selection looks inside the seal.
STAYS = {"classes": None, "samples": None, "subjects": ["stays"]}


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def folder_of(url):
    return Path(url.removeprefix("sqlite:///")).parent


def test_only_its_owner_can_read_the_ledger_s_files(new_url):
    before = os.umask(0)
    try:
        ledger = open_ledger(new_url, key=KEY)
        ledger.file(a_request(), judged(), actor="cli")
        folder = folder_of(new_url)
        assert mode(folder) == 0o700
        assert {file.name: mode(file) for file in folder.iterdir()} == {
            "ledger.db": 0o600,
            "ledger.db-wal": 0o600,
            "ledger.db-shm": 0o600,
        }
        ledger.close()
    finally:
        os.umask(before)


def test_nothing_personal_is_in_the_file_s_bytes(new_url):
    def forget(kind):
        ids = tuple(f"canary-{kind}-{n}" for n in range(3))
        return ForgetSpec(dataset="data/digits", selection=Selection(**{kind: ids}))

    def announce(entry, move):
        payload = {"text": "canary-letter", "to": "canary-address@example.org"}
        return [Letter("github", f"{entry.id}:{move.after}:{move.at:%f}", payload, entry.id)]

    ledger = open_ledger(new_url, key=KEY, announce=announce)
    arrival = an_arrival("T-1", forget=forget("subjects"), delivery="canary-delivery")
    reply = {"url": "https://canary-reply.example.org", "token": "canary-token"}
    ledger.file(a_request(forget=forget("samples")), judged(), actor="cli", reply=reply)
    ledger.accept([arrival, an_arrival("T-2", "canary-subject")])
    batch = ledger.claim("worker", lease=MINUTE, limit=10)
    outcomes = {name: Outcome(State.FAILED, "failed") for name in ids_in(batch)}
    outcomes[arrival.request.id] = Outcome(State.REGISTERED, "for canary.person@example.org")
    ledger.conclude(batch, outcomes)
    ledger.letters_due("worker", lease=MINUTE, limit=1)
    found = ledger.find()
    assert any("canary-subjects-2" in str(e.request.forget.selection.subjects) for e in found)
    written = b"".join(f.read_bytes() for f in folder_of(new_url).iterdir())
    ledger.close()
    written += b"".join(f.read_bytes() for f in folder_of(new_url).iterdir())
    assert b"canary" not in written
    # The search itself works: what may be searched is there in plain.
    for plain in (b"data/digits", b"T-1", b"digits@champion", b"tracker"):
        assert plain in written


def sealed_in(path):
    """What is sealed about requests and letters, as it stands in the file."""
    with sqlite3.connect(path) as raw:
        found = raw.execute(
            "SELECT selection FROM requests UNION ALL SELECT reply FROM requests "
            "UNION ALL SELECT payload FROM letters"
        ).fetchall()
    raw.close()
    return [value for (value,) in found if value is not None]


def pieces(values):
    """Every 64 bytes of what was sealed: a part that is left over shows too."""
    return [v[at : at + 64] for v in values for at in range(0, len(v) - 63, 64)]


def test_after_a_purge_nothing_that_was_sealed_is_in_the_file_s_bytes(new_url, clock):
    """Also what was long enough for pages of its own, and without anybody closing the file."""
    ledger, path = open_ledger(new_url, key=KEY, clock=clock), folder_of(new_url) / "ledger.db"
    for number in range(40):
        ids = tuple(f"canary-{number}-{n}" for n in range(1 + 40 * number))
        spec = ForgetSpec(dataset="data/digits", selection=Selection(subjects=ids))
        name, reply = f"req-{number}", {"url": f"https://canary-{number}.example.org"}
        ledger.file(a_request(id=name, forget=spec), judged(), actor="cli", reply=reply)
        ledger.enqueue([Letter("github", name, {"text": "canary-letter" * 20}, name)])
        ledger.cancel(name, actor="cli")
    for letter in ledger.letters_due("courier", lease=MINUTE, limit=99):
        ledger.not_sent(letter, "gone", None)
    ledger.file(a_request("stays", id="req-open"), judged(), actor="cli")
    was = sealed_in(path)
    (stays,) = [v for v in was if ledger._run.vault.open(v) == STAYS]
    goes = pieces(v for v in was if v != stays)
    assert len(was) == 121
    assert len(goes) > 5000

    def left():
        written = b"".join(f.read_bytes() for f in folder_of(new_url).iterdir())
        assert stays in written
        assert b"canary" not in written
        return sum(piece in written for piece in goes)

    assert left() > 0.95 * len(goes)  # the others lie across the ends of pages
    clock.forward(timedelta(days=400))
    assert ledger.retention.purge_all(6, actor="flow").requests == 40
    assert left() == 0
    assert (folder_of(new_url) / "ledger.db-wal").stat().st_size == 0
    ledger.close()
    assert left() == 0


def test_who_reads_while_it_is_purged_is_not_held_up_and_the_rest_goes_with_the_next_close(
    opened, ledger_url, clock
):
    ledger, path = opened(), folder_of(ledger_url) / "ledger.db"
    ledger.file(a_request(id="req-1"), judged(), actor="cli")
    ledger.cancel("req-1", actor="cli")
    goes = pieces(sealed_in(path))
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    before = reader.execute("SELECT selection FROM requests").fetchall()
    clock.forward(timedelta(days=400))
    assert ledger.retention.purge_all(6, actor="flow").requests == 1
    assert reader.execute("SELECT selection FROM requests").fetchall() == before
    assert ledger.get("req-1").selection_gone
    reader.close()
    ledger.close()
    written = b"".join(f.read_bytes() for f in folder_of(ledger_url).iterdir())
    assert not any(piece in written for piece in goes)


def test_what_a_letter_said_is_gone_once_it_was_sent(ledger, ledger_url):
    ledger.enqueue([Letter("github", "k", {"text": "x"})])
    ledger.sent(ledger.letters_due("worker", lease=MINUTE, limit=1)[0])
    with sqlite3.connect(folder_of(ledger_url) / "ledger.db") as raw:
        assert raw.execute("SELECT payload FROM letters").fetchall() == [(None,)]
    raw.close()


def test_commits_are_on_disk_before_they_return_and_references_are_held(ledger_url):
    database = Database(ledger_url)
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
        "secure_delete": 1,
    }
    for pragma, value in wanted.items():
        assert database.read(lambda sql, p=pragma: sql.scalar(text(f"PRAGMA {p}"))) == value
    database.close()


def test_a_writer_has_the_ledger_alone_and_readers_are_not_held_up(ledger, ledger_url):
    entry = ledger.file(a_request(), judged(), actor="cli")
    database = Database(ledger_url)

    def inside(connection):
        connection.execute(text("UPDATE requests SET state = 'held'"))
        assert ledger.get(entry.id).state == State.APPROVED
        other = sqlite3.connect(folder_of(ledger_url) / "ledger.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()

    database.write(inside)
    database.close()
    assert ledger.get(entry.id).state == State.HELD


def test_a_place_where_nothing_can_be_written_is_told_with_the_setting(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(SettingsError, match=r"ledger\.url"):
        open_ledger(f"sqlite:///{blocked}/ledger.db", key=KEY)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerUnavailableError):
        open_ledger(f"sqlite:///{path}", key=KEY)
    assert path.read_bytes() == b"no database at all" * 100
