"""The record of a real edit: signed, chained, copied, and held against everything around it."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from moto.server import ThreadedMotoServer

from flows.unlearn import unlearn
from lethe.audit.errors import KeysError
from lethe.audit.receipt import verify_receipt
from lethe.audit.statement import Statement
from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.settings import load_settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.pull import model_id_of
from model_registry.run import artifact_path
from tasks.desk import open_desk
from tasks.one_request import file_request
from tasks.trail_check import check_trail

STRANGE = "f" * 64


def forget(*classes, model="digits@champion", **options):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=classes))
    entry = file_request(load_settings(), DeletionRequest(model=model, forget=spec))
    return unlearn(entry.id, **options)


def found():
    """What the check of the trail finds wrong: kind and record, and the words."""
    with open_desk(load_settings()) as desk:
        checks = list(check_trail(load_settings(), desk.ledger))
    assert len(checks) > 5
    return {
        (one.what, one.record.split(" (")[0]): one.words for one in checks if one.result == "wrong"
    }


class Changed:
    """A change that is taken back."""

    def __init__(self, path):
        self.path = Path(path)

    def __enter__(self):
        self.kept = self.path.with_name("kept-aside")
        shutil.copy2(self.path, self.kept)
        return self.path

    def __exit__(self, *_):
        shutil.copy2(self.kept, self.path)
        self.kept.unlink()


def test_what_is_changed_anywhere_is_found_and_its_record_named(forgotten, lethe):
    first, second = forgotten
    assert (first.successor, second.successor) == ("digits/2", "digits/3")
    assert found() == {}
    client, folder = connect(load_settings()), Path(".lethe/audit")

    # ## Tags
    for key in (tags.VERDICT, tags.STATEMENT, tags.PARENT, tags.WEIGHTS, tags.SERVED):
        before = client.get_model_version("digits", "2").tags[key]
        client.set_model_version_tag("digits", "2", key, STRANGE)
        assert key in found()[("version tags", "record 1")]
        client.set_model_version_tag("digits", "2", key, before)
    before = client.get_run(second.run_id).data.tags[tags.VERDICT]
    client.set_tag(second.run_id, tags.VERDICT, "erased")
    assert tags.VERDICT in found()[("run tags", "record 2")]
    client.set_tag(second.run_id, tags.VERDICT, before)

    # ## Weights, and the file that is served
    version = client.get_model_version("digits", "3")
    model = client.get_logged_model(model_id_of(version))
    files = Path(model.artifact_location.removeprefix("file://"))
    for name, what in (("weights.safetensors", "weights"), ("model.pt2", "served file")):
        with Changed(next(files.rglob(name))) as path:
            path.write_bytes(path.read_bytes()[:-1] + b"!")
            assert "digits/3" in found()[(what, "record 2")]

    # ## The copies
    with Changed(folder / "statements.jsonl") as path:
        path.write_bytes(path.read_bytes().replace(b"payloadType", b"payloadtype", 1))
        assert ("log", "record 1") in found()
    with Changed(folder / "statements.jsonl") as path:
        path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
        assert "does not have it" in found()[("log", "record 2")]
    with Changed(folder / "checkpoint.json") as path:
        path.write_bytes(path.read_bytes().replace(b"sig", b"sog", 1))
        assert ("checkpoint", "") in found()

    # ## The ledger itself, by somebody who may write to the file
    with Changed(".lethe/ledger.db") as path:
        with sqlite3.connect(path) as sql:
            sql.execute("PRAGMA journal_mode=DELETE")
            sql.execute("DROP TRIGGER statements_no_delete")
            sql.execute("DELETE FROM statements WHERE sequence = 2")
        wrong = found()
        assert "what came after it is missing" in wrong[("chain", "")]
        assert ("recorded", "models:/digits/3") in wrong
    assert found() == {}

    # ## What a person types
    code, out, _ = lethe("audit", "verify")
    assert code == 0
    assert "Everything that could be checked" in out
    client.set_model_version_tag("digits", "2", tags.VERDICT, "erased")
    code, out, err = lethe("audit", "verify", "--json")
    assert code == 9
    told = json.loads(out)
    assert not told["good"]
    assert any("record 1" in one["record"] for one in told["checks"] if one["result"] == "wrong")
    assert "Keep ledger, log and registry" in err


def test_a_requester_gets_a_receipt_and_a_certificate(project, lethe):
    result = forget("3", "5")
    code, _, err = lethe("audit", "receipt", result.request_id, "--out", "mine.json")
    assert (code, "Wrote mine.json" in err) == (0, True)
    receipt = json.loads(Path("mine.json").read_text())
    with open_desk(load_settings()) as desk:
        (kept,) = desk.ledger.statements.after()
    said = Statement.of_line(kept.line).predicate
    assert len(receipt["rows"]) == said.data.count
    good = {"root": said.data.rows_root, "size": said.data.count}
    assert verify_receipt(receipt, **good, statement_sha256=kept.digest) == []
    receipt["rows"][0]["sample_id"] = "somebody-else"
    assert verify_receipt(receipt, **good)

    client = connect(load_settings())
    pages = artifact_path(client, result.run_id, tags.CERTIFICATES_FOLDER)
    page = (pages / f"{result.request_id}.html").read_text()
    assert lethe("audit", "certificate", result.request_id, "--out", "mine.html")[0] == 0
    assert Path("mine.html").read_text() == page
    assert result.request_id in page
    line = artifact_path(client, result.run_id, tags.ENVELOPE_FILE).read_bytes()
    assert line == kept.line + b"\n"
    assert client.get_model_version("digits", "2").tags[tags.RECORD] == "1"
    code, _, err = lethe("audit", "receipt", result.request_id, "--out", "mine.json")
    assert (code, "stays as it is" in err) == (2, True)


def verified(*words):
    """What the stand-alone verifier says of a bundle: exit code and report."""
    command = [sys.executable, "-m", "lethe.audit.verify", *words, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_bundles_are_checked_without_the_rest_of_lethe(forgotten, lethe):
    first, second = forgotten
    lethe("audit", "keys", "export", "--out", "ring.json")
    lethe("audit", "receipt", first.request_id, "--out", "mine.json")
    assert lethe("audit", "export", "--out", "all.zip")[0] == 0
    assert verified("all.zip", "--keys", "ring.json")[0] == 0
    assert lethe("audit", "export", "--request", second.request_id, "--out", "one.zip")[0] == 0
    code, said = verified("one.zip", "--keys", "ring.json")
    assert (code, first.request_id in said) == (0, False)
    assert verified("all.zip", "--keys", "ring.json", "--receipt", "mine.json")[0] == 0
    assert verified("one.zip", "--keys", "ring.json", "--receipt", "mine.json")[0] == 9
    assert lethe("audit", "export", "--since", "2020-01-01", "--out", "since.zip")[0] == 0
    assert verified("since.zip", "--keys", "ring.json")[0] == 0
    code, _, err = lethe("audit", "export", "--until", "2020-01-01", "--out", "none.zip")
    assert (code, "no such record" in err) == (9, True)
    assert lethe("audit", "export", "--out", "all.zip")[0] == 2
    # Another installation's keys.
    shutil.rmtree(".lethe/audit/keys")
    assert lethe("audit", "keys", "init")[0] == 0
    lethe("audit", "keys", "export", "--out", "other.json")
    assert verified("all.zip", "--keys", "other.json")[0] == 9


def test_a_refusal_is_recorded_like_a_success(project):
    with pytest.raises(Exception, match="Refused"):
        forget("3", options={"push": "none", "epochs": 1})
    with open_desk(load_settings()) as desk:
        (kept,) = desk.ledger.statements.after()
    assert Statement.of_line(kept.line).predicate.verdict == "refused"
    assert found() == {}


class S3(NamedTuple):
    """A bucket and a client of its server."""

    client: Any
    name: str

    def names(self):
        found = self.client.list_objects_v2(Bucket=self.name)
        return {one["Key"] for one in found["Contents"]}


@pytest.fixture
def bucket(monkeypatch):
    """A bucket with Object Lock, which the settings name."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    name = f"records-{uuid.uuid4().hex}"  # moto's servers in one process share their buckets
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    monkeypatch.setenv("LETHE_AUDIT__S3__BUCKET", name)
    monkeypatch.setenv("LETHE_AUDIT__S3__ENDPOINT_URL", f"http://{host}:{port}")
    yield S3(client, name)
    server.stop()


def test_a_trail_that_was_made_anew_is_not_the_one_whose_copies_are_write_once(project, bucket):
    forget("3")
    assert "lethe/checkpoints/000000000001.json" in bucket.names()
    statement = "lethe/statements/000000000001.json"
    kept = bucket.client.head_object(Bucket=bucket.name, Key=statement)
    assert kept["ObjectLockMode"] == "COMPLIANCE"
    assert kept["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=700)
    assert found() == {}
    # Whoever has the key and may write everywhere signs another first record.
    with sqlite3.connect(project / ".lethe" / "ledger.db") as sql:
        sql.execute("DROP TRIGGER statements_no_delete")
        sql.execute("DELETE FROM statements")
    for name in ("statements.jsonl", "checkpoint.json"):
        (project / ".lethe" / "audit" / name).unlink()
    forget("5")
    wrong = found()
    assert ("write-once copy", "record 1") in wrong
    assert ("recorded", "models:/digits/2") in wrong


def test_a_store_that_is_away_holds_nothing_up_and_its_copies_are_made_later(
    project, bucket, monkeypatch
):
    there = os.environ["LETHE_AUDIT__S3__ENDPOINT_URL"]
    monkeypatch.setenv("LETHE_AUDIT__S3__ENDPOINT_URL", "http://127.0.0.1:9")
    assert forget("3").successor == "digits/2"
    monkeypatch.setenv("LETHE_AUDIT__S3__ENDPOINT_URL", there)
    forget("5")
    assert {f"lethe/statements/00000000000{n}.json" for n in (1, 2)} < bucket.names()
    assert found() == {}


@pytest.mark.usefixtures("forgotten")
def test_without_the_key_that_signed_before_nothing_is_computed(monkeypatch):
    keys = Path(".lethe/audit/keys")
    keys.rename(keys.with_name("elsewhere"))
    monkeypatch.setattr("tasks.edit.probe.fn", lambda *_: pytest.fail("it was computed"))
    with pytest.raises(KeysError, match="no signing key"):
        forget("7")
    shutil.rmtree(keys, ignore_errors=True)
    keys.with_name("elsewhere").rename(keys)
    assert found() == {}


def test_keys_are_made_rotated_and_exported_by_command(tmp_path, monkeypatch, lethe):
    monkeypatch.chdir(tmp_path)
    assert lethe("audit", "keys", "export")[0] == 9
    assert lethe("audit", "keys", "init")[0] == 0
    code, _, err = lethe("audit", "keys", "init")
    assert (code, "keys rotate" in err) == (9, True)
    assert lethe("audit", "keys", "rotate")[0] == 0
    assert lethe("audit", "keys", "export")[0] == 0
    ring = json.loads(Path("keyring.json").read_text())
    assert len(ring["keys"]) == 2
    assert "PRIVATE" not in Path("keyring.json").read_text()
