"""Certificates beside a record: written again when a task is tried again, for the first alone."""

import sys
from datetime import UTC, datetime
from pathlib import Path

# pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parents[1] / "audit"))
from audit_statements import REQUEST, statement

from lethe.audit.certified import FOLDER, MOST
from lethe.deletion.ledger.statements import Kept
from lethe.settings import Settings
from tasks.certificates import write_certificates


def test_a_second_try_writes_the_same_pages(tmp_path):
    made = statement(requests=tuple(REQUEST | {"id": f"req-{n}"} for n in range(MOST + 1)))
    kept = Kept(1, "f" * 64, "run", "8" * 64, datetime.now(UTC), b"", "[]")

    def written():
        write_certificates(Settings(home=tmp_path), made, kept, tmp_path)
        return {path.name: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()}

    first = written()
    assert len(first) == MOST
    assert written() == first
