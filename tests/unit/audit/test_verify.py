"""The stand-alone verifier: what it accepts, what it refuses, and what it says."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import rfc8785
from audit_statements import REFUSAL
from audit_trails import (
    DIGESTS,
    END,
    FIRST,
    HOUR,
    ID,
    LINES,
    NOON,
    RING,
    SECOND,
    files_of,
    json_of,
    left,
    made,
    new_signer,
    pack,
    plain,
    receipt,
    write,
    wrong,
)
from hypothesis import given
from hypothesis import strategies as st

from lethe.audit.dsse import sign
from lethe.audit.errors import ChainError
from lethe.audit.keyring import KeyRing, stamp
from lethe.audit.statement import PREDICATE_TYPE, STATEMENT_TYPE
from lethe.audit.verify import verify_bundle
from lethe.audit.verify.__main__ import main
from lethe.audit.verify.content import PREDICATE_TYPES, Runs, content_problems
from lethe.audit.verify.content import STATEMENT_TYPE as KNOWN_TYPE
from lethe.audit.verify.trust import Remembered

ROOT = Path(__file__).parents[3]


PARTS = [
    ({"request": "req-3"}, [3]),
    ({"from": 5, "to": 8}, [5, 6, 7, 8]),
    ({"from": 1, "to": 1}, [1]),
    ({"from": 12, "to": 12}, [12]),
    ({"from": stamp(NOON), "to": stamp(NOON + HOUR)}, [1, 2]),
    ({"request": "nobody"}, []),
]


class TestGood:
    def test_a_whole_trail_holds_and_everything_is_counted(self, tmp_path):
        report = verify_bundle(write(tmp_path / "b.zip"), keys=RING, checkpoint=END)
        assert wrong(report) == []
        assert report.exit_code == 0
        assert report.good_by_kind == {
            "files": 3, "keys": 2, "checkpoint": 2, "records": 12, "content": 12,
        }  # fmt: skip
        assert left(report) == [words for words in left(report) if "servers" in words]
        assert "all that was checked is in order" in report.verdict

    @pytest.mark.parametrize(("what", "places"), PARTS, ids=str)
    def test_a_part_holds_by_its_proofs(self, tmp_path, what, places):
        path = write(tmp_path / "b.zip", [LINES[n - 1] for n in places], what)
        report = verify_bundle(path, key_id=ID)
        assert wrong(report) == []
        assert report.good_by_kind["proofs"] == report.good_by_kind["records"] == len(places)
        assert "of a chain of 12" in report.title
        assert "keys" not in {one.what for one in report.checked if one.result == "not checked"}

    def test_the_same_content_gives_the_same_bytes(self, tmp_path):
        extra = {"receipts/r.json": b"{}", "certificates/c.html": b"<p>"}
        one, two = (write(tmp_path / name, extra=extra).read_bytes() for name in "ab")
        assert one == two
        with zipfile.ZipFile(io.BytesIO(one)) as opened:
            assert opened.namelist() == sorted(opened.namelist())

    def test_proofs_are_json(self, tmp_path):
        path = write(tmp_path / "b.zip", LINES[4:6], {"from": 5, "to": 6})
        assert set(json.loads(files_of(path)["proofs.json"])["paths"]) == {"5", "6"}
        empty = write(tmp_path / "e.zip", [], {"request": "nobody"})
        assert json.loads(files_of(empty)["proofs.json"])["paths"] == {}

    def test_an_older_ring_that_is_believed_leads_to_the_newer_keys(self, tmp_path):
        path = write(tmp_path / "b.zip")
        assert verify_bundle(path, keys=KeyRing(RING.keys[:1])).exit_code == 0
        older = {**files_of(path), "keyring.json": KeyRing(RING.keys[:1]).dumps()}
        assert verify_bundle(pack(tmp_path / "o.zip", older), keys=RING).exit_code == 0

    def test_a_record_that_the_checkpoint_does_not_cover_is_not_given_with_a_proof(self, tmp_path):
        path = tmp_path / "b.zip"
        with pytest.raises(ChainError, match="No bundle was written"):
            write(path, LINES[4:5], {"from": 5, "to": 5}, digests=DIGESTS[:4])
        with pytest.raises(ValueError, match="no file named"):
            write(path, extra={"../x": b""})
        assert not list(tmp_path.iterdir())


class TestReceipts:
    def test_rows_are_shown_to_be_in_the_set(self, tmp_path):
        inside = {"receipts/r.json": json.dumps(receipt(("row-0",))).encode()}
        report = verify_bundle(write(tmp_path / "b.zip", extra=inside), receipt=receipt())
        assert report.exit_code == 0
        assert report.good_by_kind["receipts"] == 2

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"request": "req-9"}, "its request is not in the statement"),
            ({"model": "models:/digits/9"}, "another model version"),
            ({"statement": {"sha256": "0" * 64, "sequence": 3}}, "no record here has the digest"),
            ({"statement": 7}, "it is not a receipt"),
            ({"statement": {"sha256": [], "sequence": 3}}, "it is not a receipt"),
            ({"rows": []}, "shows no row"),
        ],
        ids=str,
    )
    def test_a_receipt_of_something_else_is_wrong(self, tmp_path, changes, says):
        found = {**receipt(), **changes}
        for report in (
            verify_bundle(write(tmp_path / "a.zip"), receipt=found),
            verify_bundle(
                write(tmp_path / "b.zip", extra={"receipts/r.json": json.dumps(found).encode()})
            ),
        ):
            assert any(says in words for words in wrong(report))
            assert "row-1" not in "\n".join(report.lines())

    def test_a_receipt_is_worth_nothing_when_its_record_is_wrong(self, tmp_path):
        other = new_signer()
        lines = [*LINES[:2], sign(json_of(LINES[2]), other).line(), *LINES[3:]]
        report = verify_bundle(write(tmp_path / "b.zip", lines), receipt=receipt())
        assert any("what is wrong with record 3" in words for words in wrong(report))
        assert not report.good_by_kind["receipts"]


class TestWhoseKeys:
    def test_without_keys_from_elsewhere_that_is_said_with_the_id_to_compare(self, tmp_path):
        report = verify_bundle(write(tmp_path / "b.zip"))
        assert report.exit_code == 0
        assert any("the bundle's own" in words and ID in words for words in left(report))

    def test_the_id_of_a_later_key_is_not_enough(self, tmp_path):
        report = verify_bundle(write(tmp_path / "b.zip"), key_id=SECOND.key_id)
        assert any("a later key's" in words for words in wrong(report))

    def test_a_chain_without_checkpoint_is_said_to_have_none(self, tmp_path):
        report = verify_bundle(write(tmp_path / "b.zip", end=None), keys=RING)
        assert any("has none" in words for words in left(report))


class TestContent:
    def test_the_constants_are_those_that_statements_are_written_with(self):
        assert KNOWN_TYPE == STATEMENT_TYPE
        assert PREDICATE_TYPE in PREDICATE_TYPES

    @pytest.mark.parametrize("number", [1, 4])
    def test_statements_as_they_are_written_have_no_problems(self, number):
        previous = None if number == 1 else "0" * 64
        assert content_problems(made(number, previous=previous)) == []

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda s: s["subject"][0].update(name="models:/digits/7"), "subject"),
            (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "subject"),
            (lambda s: s.update(_type="https://in-toto.io/Statement/v0"), "_type"),
            (lambda s: s.update(predicateType="https://lethe.dev/statement/v9"), "newer verifier"),
            (lambda s: s.update(more=1), "form of a statement"),
            (lambda s: s["predicate"].update(successor=None), "a refusal has no successor"),
            (lambda s: s["predicate"].update(verdict="refused"), "a refusal has no successor"),
            (lambda s: s["predicate"].update(verdict="fine"), "not a known one"),
            (lambda s: s["predicate"]["successor"].update(version=9), "number of a version"),
            (lambda s: s["predicate"]["requests"].append(s["predicate"]["requests"][0]), "twice"),
            (lambda s: s["predicate"].update(requests=[]), "names no requests"),
            (lambda s: s["predicate"]["gates"][0].update(measured=0.9), "gate 1"),
            (lambda s: s["predicate"]["gates"][0].update(comparison="<="), "gate 1"),
            (lambda s: s["predicate"]["gates"][0].update(comparison="<"), "gates"),
            (lambda s: s["predicate"]["gates"][0].update(measured=None), "gate 1"),
            (lambda s: s["predicate"]["gates"][0].update(measured=0.1, passed=False), "refused"),
            (lambda s: s["predicate"]["data"].update(rows_root="x"), "data"),
            (lambda s: s["predicate"]["data"].update(count=-1), "how many rows"),
            (lambda s: s["predicate"]["times"].update(finished="2020-01-01T00:00:00Z"), "ended"),
            (lambda s: s["predicate"].pop("gates"), "gates"),
        ],
    )
    def test_what_contradicts_itself_is_told(self, change, says):
        statement = made()
        change(statement)
        assert any(says in words for words in content_problems(statement))

    @pytest.mark.parametrize(
        ("measured", "passed", "good"),
        [(None, None, True), (None, False, True), (0.95, True, True), (0.95, False, True),
         (0.94, None, True), (0.94, True, False), (0.96, False, False)],
    )  # fmt: skip
    def test_a_gate_may_be_unmeasured_unjudged_or_rounded_onto_its_threshold(
        self, measured, passed, good
    ):
        statement = made()
        statement["predicate"]["gates"][0].update(measured=measured, passed=passed)
        assert any("does not say" in words for words in content_problems(statement)) != good

    def test_a_name_twice_or_a_number_written_otherwise_is_not_canonical(self):
        statement = made()
        for data in (
            rfc8785.dumps(statement)[:-1] + b',"_type":"' + STATEMENT_TYPE.encode() + b'"}',
            rfc8785.dumps(statement).replace(b"0.95", b"0.950"),
        ):
            known = hashlib.sha256(data).hexdigest()
            assert content_problems(json.loads(data), known) == ["it is not canonical"]
        small = made(figures={"a": 1e-7, "b": 1e21, "é": 1})
        assert content_problems(small, hashlib.sha256(rfc8785.dumps(small)).hexdigest()) == []

    def test_a_run_may_be_refused_and_registered_but_not_say_two_things(self):
        runs = Runs()
        first, refusal = made(run_id="r"), made(run_id="r", **REFUSAL)
        other = made(run_id="r", parent={**plain(1)["parent"], "weights_sha256": "a" * 64})
        after = made(run_id="r", successor={**plain(1)["successor"], "weights_sha256": "a" * 64})
        assert runs.problems(1, refusal) == []
        assert runs.problems(2, first) == []
        assert runs.problems(3, made(2, previous="0" * 64)) == []
        assert runs.problems(4, other) == [
            "record 1 of the same run names another parent or forget set"
        ]
        assert "record 2 of the same run" in runs.problems(5, after)[0]


class TestCommand:
    def test_it_says_what_was_checked_what_is_wrong_and_what_could_not_be(self, tmp_path, capsys):
        path = write(tmp_path / "b.zip")
        assert main([str(path), "--key-id", ID.upper()]) == 0
        said = capsys.readouterr().out
        assert "records            12 in order" in said
        assert said.splitlines()[-1].startswith("VERDICT: all that was checked is in order")
        forged = write(tmp_path / "c.zip", [*LINES[:4], *LINES[5:]])
        assert main([str(forged)]) == 9
        said = capsys.readouterr().out
        assert (
            f"WRONG: record 6 (sha256 {DIGESTS[5][:16]}…, requests req-6, models:/digits/7)" in said
        )
        assert "Do not rely on these records" in said
        assert main([str(forged), "--json"]) == 9
        assert json.loads(capsys.readouterr().out)["wrong"]["records"] >= 2

    @pytest.mark.parametrize(
        "options",
        [["--key-id", "12"], ["--keys", "nowhere"], ["--receipt", "b.zip"], ["--keys", "b.zip"]],
        ids=str,
    )
    def test_a_wrong_command_is_told_and_exits_with_2(self, tmp_path, capsys, monkeypatch, options):
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "b.zip")
        assert main(["b.zip", *options]) == 2
        assert "Nothing was checked" in capsys.readouterr().err
        assert main([str(tmp_path)]) == 2

    def test_it_needs_nothing_but_the_standard_library_cryptography_and_rfc8785(self, tmp_path):
        """In a process of its own, where any other import fails."""
        path = write(tmp_path / "b.zip", extra={"receipts/r.json": json.dumps(receipt()).encode()})
        keys = tmp_path / "ring.json"
        keys.write_bytes(RING.dumps())
        done = alone([str(path), "--keys", str(keys)])
        assert done.returncode == 0, done.stderr
        assert "VERDICT: all that was checked is in order" in done.stdout
        assert "Blocked: pydantic" in alone([], "import pydantic").stderr


BLOCKED = """
import runpy, sys
ALLOWED = {"lethe", "cryptography", "rfc8785", "_cffi_backend", *sys.stdlib_module_names}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED:
            raise ImportError("Blocked: " + name)
sys.meta_path.insert(0, Finder())
"""
RUN = 'runpy.run_module("lethe.audit.verify", run_name="__main__", alter_sys=True)'


def alone(arguments, code=RUN):
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )


@given(st.integers(-3, 20), st.sampled_from([FIRST.key_id, SECOND.key_id, "0" * 64]))
def test_a_ring_that_remembers_says_what_the_ring_says(hours, known):
    at = NOON + hours * HOUR
    remembered = Remembered(RING.keys)
    assert remembered.accepts(known, at) == RING.accepts(known, at)
    assert remembered.public().keys() == RING.public().keys()
