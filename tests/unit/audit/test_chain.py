"""Envelopes, keys and the chain: what holds, and that nothing else does."""

import base64
import json
import stat
from datetime import UTC, datetime, timedelta

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from lethe.audit.chain import ChainCheck, Checkpoint
from lethe.audit.dsse import CHECKPOINT, Envelope, sign
from lethe.audit.errors import ChainError, KeysError
from lethe.audit.keyring import KeyRing
from lethe.audit.keystore import KeySigner, KeyStore
from lethe.audit.logfile import LogFile

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def new_ring(signer, *, at=NOW):
    return KeyRing(()).with_key(signer.public_key, signer, now=at, overlap=timedelta())


SIGNER = KeySigner(Ed25519PrivateKey.generate())
RING = new_ring(SIGNER)


def chain(number, signer=SIGNER, *, at=NOW):
    """Lines of records, each naming the one before, with little else in them."""
    lines, previous = [], None
    for sequence in range(1, number + 1):
        record = {
            "sequence": sequence,
            "previous": previous,
            "key_id": signer.key_id,
            "signed_at": at.isoformat(),
        }
        payload = rfc8785.dumps({"predicate": {"record": record, "run_id": f"run-{sequence}"}})
        lines.append(sign(payload, signer).line())
        check = ChainCheck(RING)
        previous = check.take(lines[-1])[0].digest
    return lines


def checkpoint(lines, signer=SIGNER):
    check = ChainCheck(RING)
    for line in lines:
        check.take(line)
    last = check.last
    made = Checkpoint(
        last.sequence, last.digest, check.tree.root().hex(), NOW.isoformat(), signer.key_id
    )
    return Checkpoint.read(made.signed(signer).line(), RING)


LINES = chain(5)
END = checkpoint(LINES)


def problems(lines, ring=RING, until=END):
    check = ChainCheck(ring, until)
    found = [words for line in lines for words in check.take(line)[2]]
    return found + check.end()


def test_a_chain_as_it_was_written_has_no_problems():
    assert problems(LINES) == []
    assert problems(LINES, until=None) == []
    assert problems(LINES, until=checkpoint(LINES[:3])) == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (LINES[:4], "what came after it is missing"),
        ([], "record 0 is the last one"),
        (LINES[1:], "record 2"),
        ([*LINES[:2], *LINES[3:]], "record 4"),
        ([LINES[1], LINES[0], *LINES[2:]], "record 2"),
        ([*LINES[:2], LINES[1], *LINES[2:]], "record 2"),
        ([*LINES, LINES[2]], "record 3"),
        ([*LINES[:2], b"", *LINES[2:]], "record 3"),
        ([*LINES[:2], b"{}", *LINES[2:]], "record 3"),
    ],
    ids=["cut", "emptied", "beginning", "taken out", "swapped", "twice", "again", "blank", "other"],
)
def test_what_is_left_out_put_in_or_moved_is_named(changed, says):
    found = problems(changed)
    assert found
    assert any(says in words for words in found)


@given(st.integers(0, sum(map(len, LINES)) - 1), st.integers(1, 255))
def test_every_changed_byte_is_found_in_its_record(position, bits):
    number = 0
    while position >= len(LINES[number]):
        position -= len(LINES[number])
        number += 1
    line = bytearray(LINES[number])
    line[position] ^= bits
    found = problems([*LINES[:number], bytes(line), *LINES[number + 1 :]])
    assert any(f"record {number + 1}" in words for words in found)


def test_another_chain_of_the_same_length_by_another_key_is_not_trusted():
    other = KeySigner(Ed25519PrivateKey.generate())
    assert "is not in the key ring" in problems(chain(5, other))[0]


def test_a_chain_rewritten_with_the_right_key_is_not_the_one_that_was_checkpointed():
    rewritten = chain(5, at=NOW + DAY)
    assert any("checkpoint" in words for words in problems(rewritten))


def test_a_signature_of_another_kind_of_payload_is_none():
    payload = Envelope.parse(LINES[0]).payload
    signed = sign(payload, SIGNER, CHECKPOINT)
    moved = Envelope(payload, "application/vnd.in-toto+json", signed.signatures)
    assert any("signature does not hold" in words for words in problems([moved.line(), *LINES[1:]]))
    with pytest.raises(ValueError, match="not a checkpoint"):
        Checkpoint.read(LINES[0], RING)


def test_spare_bits_of_base64_cannot_carry_a_change():
    found = json.loads(LINES[0])
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = found["signatures"][0]["sig"]  # 64 bytes: the last letter has four spare bits
    other = text[:-3] + letters[letters.index(text[-3]) ^ 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(text)
    found["signatures"][0]["sig"] = other
    with pytest.raises(ValueError, match="not written as it was signed"):
        Envelope.parse(rfc8785.dumps(found))


def test_another_dsse_library_accepts_what_we_sign():
    from securesystemslib.dsse import Envelope as Theirs
    from securesystemslib.signer import SSlibKey

    envelope = json.loads(LINES[0])
    key = SSlibKey.from_crypto(SIGNER.public_key, keyid=SIGNER.key_id)
    theirs = Theirs.from_dict(envelope)
    assert set(theirs.verify([key], 1)) == {SIGNER.key_id}
    assert theirs.payload_type == "application/vnd.in-toto+json"


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_reading_what_is_no_record_never_fails_otherwise(line):
    assert ChainCheck(RING).take(line)[2]


class TestKeys:
    def test_a_private_key_is_readable_by_its_owner_only_and_used_only_then(self, tmp_path):
        store = KeyStore(tmp_path / "keys")
        ring = store.init(NOW)
        (path,) = store.folder.glob("*.pem")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
        assert store.signer(NOW).key_id == ring.newest.key_id
        path.chmod(0o640)
        with pytest.raises(KeysError, match="chmod 600"):
            store.signer(NOW)

    def test_a_second_first_key_is_refused(self, tmp_path):
        store = KeyStore(tmp_path)
        before = store.init(NOW)
        with pytest.raises(KeysError, match="keys rotate"):
            store.init(NOW)
        assert store.ring() == before

    def test_both_keys_sign_during_the_overlap_and_only_the_new_one_after_it(self, tmp_path):
        store = KeyStore(tmp_path)
        old = store.init(NOW).newest
        ring = store.rotate(NOW + 10 * DAY, 7 * DAY)
        new = ring.newest
        assert ring.problems() == []
        assert [ring.accepts(old.key_id, NOW + n * DAY) for n in (-1, 0, 17, 18)] == [
            False,
            True,
            True,
            False,
        ]
        assert [ring.accepts(new.key_id, NOW + n * DAY) for n in (9, 10, 999)] == [
            False,
            True,
            True,
        ]
        assert store.signer(NOW + 11 * DAY).key_id == new.key_id
        # A machine that has not got the new key yet.
        (tmp_path / f"{new.key_id[:16]}.pem").unlink()
        assert store.signer(NOW + 11 * DAY).key_id == old.key_id
        with pytest.raises(KeysError, match="No private key"):
            store.signer(NOW + 30 * DAY)

    def test_a_key_that_was_put_into_the_ring_by_somebody_else_is_found(self, tmp_path):
        store = KeyStore(tmp_path)
        store.init(NOW)
        stranger = KeySigner(Ed25519PrivateKey.generate())
        forged = store.ring().with_key(stranger.public_key, stranger, now=NOW, overlap=DAY)
        store.path.write_bytes(forged.dumps())
        with pytest.raises(KeysError, match="was not endorsed by the one before it"):
            store.signer(NOW)

    @pytest.mark.parametrize("field", ["publicKey", "createdAt", "overlapUntil", "endorsedBy"])
    def test_every_changed_field_of_the_ring_is_found(self, tmp_path, field):
        store = KeyStore(tmp_path)
        store.init(NOW)
        found = json.loads(store.rotate(NOW, DAY).dumps())
        other = json.loads(new_ring(KeySigner(Ed25519PrivateKey.generate())).dumps())["keys"][0]
        late = "2031-01-01T00:00:00Z"
        values = {**other, "createdAt": late, "overlapUntil": late}
        found["keys"][1][field] = values[field]
        store.path.write_bytes(rfc8785.dumps(found))
        with pytest.raises(KeysError, match="cannot be"):
            store.ring()

    def test_a_key_of_another_kind_is_refused(self, tmp_path):
        store = KeyStore(tmp_path)
        store.init(NOW)
        (path,) = tmp_path.glob("*.pem")
        path.write_text("-----BEGIN PRIVATE KEY-----\nbm9uc2Vuc2U=\n-----END PRIVATE KEY-----\n")
        with pytest.raises(KeysError, match="not an unencrypted Ed25519 key"):
            store.signer(NOW)


class TestLogFile:
    def after(self, sequence):
        return LINES[sequence:]

    def test_it_catches_up_and_adds_nothing_twice(self, tmp_path):
        log = LogFile(tmp_path / "folder" / "log.jsonl")
        assert log.catch_up(lambda n: LINES[n:2]) == 2
        assert log.catch_up(self.after) == 3
        assert log.catch_up(self.after) == 0
        assert log.path.read_bytes().splitlines() == LINES

    @given(st.integers(0, sum(len(line) + 1 for line in LINES)))
    def test_cut_off_anywhere_it_is_whole_again(self, tmp_path_factory, size):
        log = LogFile(tmp_path_factory.mktemp("log") / "log.jsonl")
        log.path.write_bytes(b"".join(line + b"\n" for line in LINES)[:size])
        log.catch_up(self.after)
        assert log.path.read_bytes().splitlines() == LINES

    def test_a_file_that_ends_with_something_else_is_left_alone(self, tmp_path):
        log = LogFile(tmp_path / "log.jsonl")
        log.path.write_bytes(b"something else\n")
        with pytest.raises(ChainError, match="is no record"):
            log.catch_up(self.after)
        assert log.path.read_bytes() == b"something else\n"
