"""What is no bundle, or a broken one, is told in words, whatever it is; nothing ever fails."""

import contextlib
import json
import zipfile

import pytest
import rfc8785
from audit_trails import (
    DIGESTS,
    FIRST,
    HOUR,
    LINES,
    NOON,
    SECOND,
    files_of,
    made,
    pack,
    write,
    wrong,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lethe.audit.bundle import FORMAT
from lethe.audit.dsse import sign
from lethe.audit.keyring import stamp
from lethe.audit.verify import BundleError, verify_bundle


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
