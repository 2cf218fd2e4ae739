"""The stand-alone verifier: what it accepts, what it refuses to read, and what it says."""

import base64
import contextlib
import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lethe.audit.bundle import FORMAT, write_bundle
from lethe.audit.chain import ChainCheck, Checkpoint
from lethe.audit.dsse import Envelope, sign
from lethe.audit.errors import ChainError
from lethe.audit.keyring import KeyRing, stamp
from lethe.audit.keystore import KeySigner
from lethe.audit.predicate import Predicate
from lethe.audit.receipt import ForgottenRows, make_receipt
from lethe.audit.statement import PREDICATE_TYPE, STATEMENT_TYPE, Statement, canonical_bytes, digest
from lethe.audit.verify import BundleError, verify_bundle
from lethe.audit.verify.__main__ import main
from lethe.audit.verify.content import PREDICATE_TYPES, Runs, content_problems
from lethe.audit.verify.content import STATEMENT_TYPE as KNOWN_TYPE
from lethe.audit.verify.trust import Remembered

ROOT = Path(__file__).parents[3]


def _neighbour(name):
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"verify_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


builders = _neighbour("test_statement")
content, NOON, REQUEST = builders.content, builders.NOON, builders.REQUEST
HOUR = timedelta(hours=1)
NUMBER, REFUSED, ROTATED = 12, {4, 9}, 7
ROWS = ForgottenRows(b"k" * 32, [f"row-{n}" for n in range(5)], "batch-1")
FAILED = {**content()["gates"][0], "measured": 0.5, "passed": False}


def new_signer():
    return KeySigner(Ed25519PrivateKey.generate())


def new_ring(first, second):
    """Two keys; the second signs from record `ROTATED` on, the first no more."""
    at = NOON + (ROTATED - 1) * HOUR
    ring = KeyRing(()).with_key(first.public_key, first, now=NOON, overlap=timedelta())
    return ring.with_key(second.public_key, first, now=at, overlap=timedelta(minutes=-1))


def plain(number, previous=None, signer=None, **changes):
    """Content of a record as the flows make it."""
    parent = {
        "uri": f"models:/digits/{number}",
        "version": number,
        "weights_sha256": f"{number:064x}",
    }
    after = {
        "uri": f"models:/digits/{number + 1}",
        "version": number + 1,
        "weights_sha256": f"{number + 1:064x}",
    }
    refusal = {"successor": None, "verdict": "refused", "rule": "gate_failed", "gates": (FAILED,)}
    return content(
        **{
            "requests": ({**REQUEST, "id": f"req-{number}"},),
            "parent": parent,
            "successor": after,
            "data": {**content()["data"], "count": ROWS.size, "rows_root": ROWS.root},
            "run_id": f"run-{number}",
            "record": {
                "sequence": number,
                "previous": previous,
                "key_id": signer.key_id if signer else "8" * 64,
                "signed_at": NOON + (number - 1) * HOUR,
            },
        }
        | (refusal if number in REFUSED else {})
        | changes
    )


def made(number=1, **changes):
    """A statement by itself, as plain data."""
    whole = Statement.of(Predicate.model_validate(plain(number, **changes)))
    return json.loads(canonical_bytes(whole))


def chain(first, second, number=NUMBER):
    """Lines of records and their digests."""
    lines, digests = [], []
    for place in range(1, number + 1):
        signer = first if place < ROTATED else second
        predicate = plain(place, digests[-1] if digests else None, signer)
        statement = Statement.of(Predicate.model_validate(predicate))
        lines.append(sign(canonical_bytes(statement), signer).line())
        digests.append(digest(statement))
    return lines, digests


def checkpoint(lines, signer, ring):
    check = ChainCheck(ring)
    for line in lines:
        assert check.take(line)[2] == []
    last = check.last
    at = stamp(NOON + (last.sequence - 1) * HOUR)
    made_ = Checkpoint(last.sequence, last.digest, check.tree.root().hex(), at, signer.key_id)
    return made_.signed(signer).line()


FIRST, SECOND = new_signer(), new_signer()
RING = new_ring(FIRST, SECOND)
ID = RING.keys[0].key_id
LINES, DIGESTS = chain(FIRST, SECOND)
END = checkpoint(LINES, SECOND, RING)
WHOLE = {"all": True}


def receipt(own=("row-1", "row-3"), place=3):
    return make_receipt(
        ROWS,
        list(own),
        statement_sha256=DIGESTS[place - 1],
        sequence=place,
        model=f"models:/digits/{place + 1}",
        request=f"req-{place}",
    )


def write(path, lines=None, what=WHOLE, *, ring=RING, end=END, digests=DIGESTS, extra=None):
    write_bundle(
        path,
        lines=LINES if lines is None else lines,
        ring=ring,
        checkpoint_line=end,
        digests=digests,
        what=what,
        extra=extra,
        made_at=NOON,
    )
    return path


def files_of(path):
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def pack(path, files):
    """A bundle of these files, with a bundle.json that lists them as they are."""
    manifest = json.loads(files["bundle.json"])
    manifest["files"] = {
        name: hashlib.sha256(data).hexdigest()
        for name, data in files.items()
        if name != "bundle.json"
    }
    with zipfile.ZipFile(path, "w") as opened:
        for name, data in files.items():
            opened.writestr(name, data if name != "bundle.json" else json.dumps(manifest))
    return path


def wrong(report):
    return [f"{one.record}: {one.words}" for one in report.checked if one.result == "wrong"]


def left(report):
    return [one.words for one in report.checked if one.result == "not checked"]


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


def json_of(line):
    return Envelope.parse(line).payload


def base64_of(data):
    return base64.b64encode(data).decode()


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
        first, refusal = made(run_id="r"), made(run_id="r", **builders.REFUSAL)
        other = made(run_id="r", parent={**plain(1)["parent"], "weights_sha256": "a" * 64})
        after = made(run_id="r", successor={**plain(1)["successor"], "weights_sha256": "a" * 64})
        assert runs.problems(1, refusal) == []
        assert runs.problems(2, first) == []
        assert runs.problems(3, made(2, previous="0" * 64)) == []
        assert runs.problems(4, other) == [
            "record 1 of the same run names another parent or forget set"
        ]
        assert "record 2 of the same run" in runs.problems(5, after)[0]


class TestWhatIsNotRead:
    def test_what_is_no_bundle_is_refused_with_the_file_named(self, tmp_path):
        path = tmp_path / "b.zip"
        for data in (b"", b"PK\x03\x04 nonsense", b"x" * 100):
            path.write_bytes(data)
            with pytest.raises(BundleError, match=r"b\.zip is not a bundle"):
                verify_bundle(path)
        with pytest.raises(BundleError):
            verify_bundle(tmp_path / "nowhere.zip")
        with pytest.raises(BundleError):
            verify_bundle(tmp_path)

    @pytest.mark.parametrize(
        "name", ["../evil", "/etc/passwd", "a\\b", "receipts/../x.json", "receipts/", "x\x1b[2J"]
    )
    def test_a_file_of_another_name_is_refused(self, tmp_path, name):
        files = {**files_of(write(tmp_path / "b.zip")), name: b"x"}
        report = verify_bundle(pack(tmp_path / "c.zip", files))
        assert any("no file of this name" in words for words in wrong(report))
        assert "\x1b" not in "\n".join(report.lines())
        assert not report.good_by_kind

    @pytest.mark.parametrize("name", ["keyring.json", "statements.jsonl"])
    def test_a_missing_file_is_named(self, tmp_path, name):
        files = files_of(write(tmp_path / "b.zip"))
        del files[name]
        assert wrong(verify_bundle(pack(tmp_path / "c.zip", files))) == [f"{name}: it is missing"]

    @pytest.mark.parametrize("name", ["keyring.json", "statements.jsonl", "checkpoint.json"])
    def test_a_file_with_another_digest_is_named(self, tmp_path, name):
        files = files_of(write(tmp_path / "b.zip"))
        manifest = json.loads(files["bundle.json"])
        manifest["files"][name] = "0" * 64
        with zipfile.ZipFile(tmp_path / "c.zip", "w") as opened:
            for one, data in files.items():
                opened.writestr(one, json.dumps(manifest) if one == "bundle.json" else data)
        assert any(
            words.startswith(f"{name}: its SHA-256")
            for words in wrong(verify_bundle(opened.filename))
        )

    def test_a_file_that_says_it_is_huge_is_not_read(self, tmp_path):
        path = write(tmp_path / "b.zip")
        data = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as opened:
            size = opened.getinfo("statements.jsonl").file_size
        at = data.rindex(b"statements.jsonl") - 46 + 24  # "uncompressed size" of the directory
        assert data[at : at + 4] == size.to_bytes(4, "little")
        data[at : at + 4] = (3 * 1024**3).to_bytes(4, "little")
        path.write_bytes(data)
        assert any("3,221,225,472 bytes" in words for words in wrong(verify_bundle(path)))

    def test_a_line_over_the_limit_ends_the_reading(self, tmp_path):
        path = write(tmp_path / "b.zip")
        files = {**files_of(path), "statements.jsonl": b"[" * (17 * 1024**2) + b"\n"}
        bomb = tmp_path / "c.zip"
        with zipfile.ZipFile(pack(bomb, files)) as opened:
            parts = {name: opened.read(name) for name in opened.namelist()}
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, data in parts.items():
                opened.writestr(name, data)
        assert bomb.stat().st_size < 100_000
        assert any("longer than 16 MiB" in words for words in wrong(verify_bundle(bomb)))

    def test_two_files_of_one_name_are_refused(self, tmp_path):
        path = write(tmp_path / "b.zip")
        with (
            zipfile.ZipFile(path, "a") as opened,
            pytest.warns(UserWarning, match="Duplicate name"),
        ):
            opened.writestr("statements.jsonl", b"")
        assert any("two files of one name" in words for words in wrong(verify_bundle(path)))

    @pytest.mark.parametrize("line", [b'{"a":' * 5000, b"[1]", b"1" * 5000, b"\xff\xfe", b""])
    def test_nested_long_or_broken_json_is_told(self, tmp_path, line):
        files = {**files_of(write(tmp_path / "b.zip")), "statements.jsonl": line + b"\n"}
        assert any(
            "record 1" in words for words in wrong(verify_bundle(pack(tmp_path / "c", files)))
        )

    def test_what_a_strange_signer_says_is_reported_without_failing(self, tmp_path):
        """Types that only somebody with a key can bring in: each is told, none raises."""
        files = files_of(write(tmp_path / "b.zip"))
        for field, value in (("size", -1), ("head", []), ("root", "é"), ("signedAt", 5)):
            said = {
                "format": "https://lethe.dev/checkpoint/v1", "size": 12, "head": DIGESTS[-1],
                "root": "0" * 64, "signedAt": stamp(NOON + 20 * HOUR), "keyId": SECOND.key_id,
            } | {field: value}  # fmt: skip
            line = sign(rfc8785.dumps(said), SECOND, "application/vnd.lethe.checkpoint+json").line()
            files["checkpoint.json"] = line + b"\n"
            report = verify_bundle(pack(tmp_path / "c.zip", files))
            assert any("it is not a checkpoint" in words for words in wrong(report))
        record = made()["predicate"]["record"] | {"key_id": FIRST.key_id}
        for strange in ({}, {"requests": 5, "gates": [[]], "run_id": [], "data": {"count": {}}}):
            line = sign(rfc8785.dumps({"predicate": {**strange, "record": record}}), FIRST).line()
            files["statements.jsonl"] = line + b"\n"
            report = verify_bundle(pack(tmp_path / "c.zip", files))
            assert any("form of a statement" in words for words in wrong(report))

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("run_id", "[" * 900 + "]" * 900),
            (
                "gates",
                '[{"comparison":"<=","measured":1%s,"passed":true,"threshold":1}]' % ("0" * 400),
            ),
            ("gates", '[{"comparison":"<=","measured":"nan","passed":true,"threshold":1}]'),
            ("gates", '[{"comparison":"<=","measured":0,"passed":1,"threshold":1}]'),
            ("times", '{"started":"2026-11-21","finished":"2026-11-21"}'),
            ("requests", '[{"id":"\\ud800"}]'),
        ],
        ids=["nested", "huge", "no number", "no boolean", "no zone", "no Unicode"],
    )
    def test_what_json_can_say_and_a_statement_cannot_is_told(self, tmp_path, field, value):
        statement = made()
        statement["predicate"]["record"]["key_id"] = FIRST.key_id
        statement["predicate"][field] = "HERE"
        data = rfc8785.dumps(statement).replace(b'"HERE"', value.encode())
        files = files_of(write(tmp_path / "b.zip"))
        files["statements.jsonl"] = sign(data, FIRST).line() + b"\n"
        report = verify_bundle(pack(tmp_path / "c.zip", files))
        assert report.wrong_by_kind["content"]
        assert "\n".join(report.lines()).encode()


NAMES = st.sampled_from(
    ["bundle.json", "keyring.json", "checkpoint.json", "statements.jsonl", "proofs.json",
     "receipts/r.json", "x"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
BYTES = st.binary(max_size=200) | JSON.map(lambda one: json.dumps(one).encode())
NO_LIMIT = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100
)


@NO_LIMIT
@given(st.binary(max_size=400))
def test_bytes_that_are_no_bundle_never_fail_otherwise(tmp_path, data):
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(BundleError):
        verify_bundle(tmp_path / "b.zip")


@NO_LIMIT
@given(st.dictionaries(NAMES, BYTES), JSON, st.booleans())
def test_members_that_are_nonsense_are_wrong_and_never_fail_otherwise(
    tmp_path, members, what, listed
):
    kept = write(tmp_path / "b.zip", LINES[:1], {"from": 1, "to": 1}, end=None)
    what = what if isinstance(what, dict) else {"from": what, "to": what}
    own = {"bundle.json": json.dumps({"format": FORMAT, "made_at": 1, "what": what, "files": {}})}
    files = {**files_of(kept), **own, **(members if listed else {})}
    files["bundle.json"] = own["bundle.json"].encode()
    report = verify_bundle(pack(tmp_path / "c.zip", files))
    assert report.lines()
    json.loads(report.to_json())


@NO_LIMIT
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_of_the_zip_itself_never_fails_otherwise(tmp_path, position, bits):
    path = tmp_path / "b.zip"
    if not path.exists():
        write(path, extra={"receipts/r.json": b"{}"})
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= bits
    (tmp_path / "c.zip").write_bytes(data)
    with contextlib.suppress(BundleError):
        assert verify_bundle(tmp_path / "c.zip").lines()


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
