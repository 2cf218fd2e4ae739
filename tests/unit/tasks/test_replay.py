"""After a restore: what a copy of the audit log has and the ledger lacks is erased again."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

# pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parents[1] / "audit"))
from audit_statements import REFUSAL, REQUEST, content, statement
from audit_trails import new_signer

from lethe.audit.dsse import sign
from lethe.audit.errors import AuditError
from lethe.audit.keystore import KeyStore
from lethe.audit.statement import canonical_bytes
from lethe.deletion.ledger.types import Judgement
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.settings import Settings
from tasks.desk import open_desk
from tasks.replay import replay

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PEOPLE = {"data": content()["data"] | {"kind": "subject", "classes": ()}}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Settings(home=tmp_path / "state")
    KeyStore(made.audit_folder / "keys").init(datetime.now(UTC))
    return made


@pytest.fixture
def copy_of(settings, tmp_path):
    """Writes a copy of the log with these statements, signed by this installation or another."""

    def write(*statements, signer=None):
        signer = signer or KeyStore(settings.audit_folder / "keys").signer(datetime.now(UTC))
        lines = [sign(canonical_bytes(one), signer).line() for one in statements]
        file = tmp_path / "copy.jsonl"
        file.write_bytes(b"\n".join(lines) + b"\n")
        return file

    return write


def requests(**changes):
    return {"requests": (REQUEST | changes,)}


def fates(desk, copy, **how):
    return [(one.request, one.fate) for one in replay(desk, copy, actor="cli:op", **how)]


def test_a_class_that_the_ledger_knows_nothing_of_is_filed_again_under_the_same_id(
    settings, copy_of
):
    copy = copy_of(statement())
    with open_desk(settings) as desk:
        assert fates(desk, copy, dry=True) == [("req-1", "filed again")]
        assert desk.ledger.find() == []
        assert fates(desk, copy) == [("req-1", "filed again")]
        (entry,) = desk.ledger.find()
        assert (entry.id, entry.state, entry.request.model) == (
            "req-1",
            State.APPROVED,
            "digits@champion",
        )
        assert entry.request.forget.selection.classes == ("3",)
        assert (entry.request.ticket, entry.request.source) == ("DPO-7", "privacy-issues")
        assert fates(desk, copy) == [("req-1", "waits in the ledger")]
        assert len(desk.ledger.find()) == 1


def test_people_must_be_named_by_their_ticket_again(settings, copy_of):
    with open_desk(settings) as desk:
        copy = copy_of(statement(**PEOPLE, **requests(kind="subject")))
        assert fates(desk, copy) == [("req-1", "ask again")]
        assert desk.ledger.find() == []


def test_what_the_restored_ledger_still_has_as_approved_is_simply_carried_out(settings, copy_of):
    from lethe.data.forget_set import ForgetSpec
    from lethe.data.selection import Selection

    spec = ForgetSpec(dataset="data/digits", selection=Selection(subjects=("p-1",)))
    request = DeletionRequest(id="req-1", model="digits@champion", forget=spec)
    with open_desk(settings) as desk:
        desk.ledger.file(request, Judgement(State.APPROVED, "by the policy"), actor="cli")
        copy = copy_of(statement(**PEOPLE, **requests(kind="subject")))
        assert fates(desk, copy) == [("req-1", "waits in the ledger")]


def test_a_refusal_erased_nothing(settings, copy_of):
    failed = {**content()["gates"][0], "measured": 0.5, "passed": False}
    with open_desk(settings) as desk:
        assert fates(desk, copy_of(statement(**REFUSAL, gates=(failed,)))) == []


def test_a_record_of_somebody_else_is_not_acted_upon(settings, copy_of):
    with open_desk(settings) as desk:
        copy = copy_of(statement(), signer=new_signer())
        with pytest.raises(AuditError, match="not signed by a key of this installation"):
            replay(desk, copy, actor="cli:op")
        assert desk.ledger.find() == []
