"""Nothing can be changed in a bundle without being found, and what is found is named.

The bundle's own list of digests is made right again after every change: it is not signed, and
whoever changes a file changes it too.
"""

import copy
import json
import random
import sys
from pathlib import Path

import pytest
import rfc8785

from lethe.audit.dsse import sign
from lethe.audit.keyring import KeyRing, stamp
from lethe.audit.verify import verify_bundle

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "audit"))

import audit_trails as trails

FIRST, SECOND, RING, ID = trails.FIRST, trails.SECOND, trails.RING, trails.ID
LINES, DIGESTS, END = trails.LINES, trails.DIGESTS, trails.END
WHOLE, SOME = trails.WHOLE, {"from": 3, "to": 8}
STRANGER = trails.new_signer()
FLIPS, SEED = 1_000, 20_261_121  # in each of two bundles
SUBJECT_TO_CHANGE = ("statements.jsonl", "checkpoint.json", "keyring.json")


@pytest.fixture
def bundles(tmp_path):
    """The whole trail and records 3 to 8 of it, as files by their names."""
    parts = {"whole": (LINES, WHOLE), "part": (LINES[2:8], SOME)}
    return {
        name: trails.files_of(trails.write(tmp_path / f"{name}.zip", lines, what))
        for name, (lines, what) in parts.items()
    }


@pytest.fixture
def check(tmp_path):
    """Verifies changed files, with the key ring's first id from elsewhere."""

    def run(files, **options):
        path = trails.pack(tmp_path / "changed.zip", files)
        return trails.wrong(verify_bundle(path, **({"key_id": ID} | options)))

    return run


def changed_lines(files, number, line, *, first=1):
    lines = files["statements.jsonl"].splitlines()
    lines[number - first] = line
    return {**files, "statements.jsonl": b"".join(one + b"\n" for one in lines)}


def leaves(value, path=()):
    """Paths of all values that hold no others."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from leaves(inner, (*path, key))
    else:
        yield path


def different(value):
    """Another value of the same kind, as near as can be."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        last = "0" if value[-1:] != "0" else "1"
        return value[:-1] + last
    return "x" if value is None else [*value, 1]


def with_leaf_changed(statement, path):
    found = copy.deepcopy(statement)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = different(inner[path[-1]])
    return found


CHANGES = [
    (number, path)
    for number in (3, 4, 8)
    for path in leaves(json.loads(trails.json_of(LINES[number - 1])))
]


def test_there_are_as_many_fields_as_a_statement_has():
    assert len(CHANGES) > 200
    assert {number for number, _ in CHANGES} == {3, 4, 8}  # a success, a refusal, after rotation


@pytest.mark.parametrize("kind", ["whole", "part"])
def test_every_changed_field_is_found_without_a_new_signature(bundles, check, kind):
    first = 1 if kind == "whole" else 3
    for number, path in CHANGES:
        statement = json.loads(trails.json_of(LINES[number - 1]))
        payload = rfc8785.dumps(with_leaf_changed(statement, path))
        signed = json.loads(LINES[number - 1])
        signed["payload"] = trails.base64_of(payload)
        line = rfc8785.dumps(signed)
        found = check(changed_lines(bundles[kind], number, line, first=first))
        assert any(f"record {number}" in words for words in found), path
        if path != ("predicate", "record", "key_id"):
            assert any(
                "its signature does not hold" in words or "say its place" in words
                for words in found
            ), path


@pytest.mark.parametrize("signer", [STRANGER, SECOND, FIRST], ids=["stranger", "second", "first"])
@pytest.mark.parametrize("kind", ["whole", "part"])
def test_every_changed_field_is_found_with_a_new_signature(bundles, check, kind, signer):
    """By a stranger; and by a key of the ring, when links, proofs and checkpoint show it."""
    first = 1 if kind == "whole" else 3
    sample = CHANGES if signer is STRANGER else CHANGES[::5]
    for number, path in sample:
        statement = json.loads(trails.json_of(LINES[number - 1]))
        changed = with_leaf_changed(statement, path)
        if path[-1] != "key_id":
            changed["predicate"]["record"]["key_id"] = signer.key_id
        line = sign(rfc8785.dumps(changed), signer).line()
        found = check(changed_lines(bundles[kind], number, line, first=first))
        named = (f"record {number}", f"record {number + 1}")
        assert any(name in words for name in named for words in found), path
        if signer is STRANGER and path[-1] != "key_id":
            assert any(
                "is not in the key ring" in words or "say its place" in words for words in found
            ), path


def holder(files, name, position):
    """How messages call what holds this byte."""
    number = files[name][:position].count(b"\n") + 1
    if name == "proofs.json":  # its first line names its format, the next record 3
        return (name, f"record {number + 1}")
    if name != "statements.jsonl":
        return (name,)
    return (f"record {number + 2 if 'proofs.json' in files else number}",)


@pytest.mark.parametrize("kind", ["whole", "part"])
def test_every_changed_byte_is_found_and_named(bundles, check, kind):
    files = bundles[kind]
    dice = random.Random(SEED)  # noqa: S311 (a sample, not a secret)
    names = [*SUBJECT_TO_CHANGE, *(["proofs.json"] if kind == "part" else [])]
    # Every file gets its share, however small it is beside the records.
    places = [(names[n % len(names)] if n % 2 else names[0], dice.random()) for n in range(FLIPS)]
    for name, share in places:
        position = int(share * len(files[name]))
        data = bytearray(files[name])
        data[position] ^= dice.randrange(1, 256)
        found = check({**files, name: bytes(data)})
        assert found, (name, position)
        called = holder(files, name, position)
        assert any(one in words for one in called for words in found), (name, position, found)


def swapped(lines, one, other):
    lines = list(lines)
    lines[one], lines[other] = lines[other], lines[one]
    return lines


MOVES = {
    "the first taken out": (LINES[1:], "record 2"),
    "one taken out": ([*LINES[:4], *LINES[5:]], "record 6"),
    "the last taken out": (LINES[:-1], "record 11"),
    "all taken out": ([], "record 0"),
    "cut in half": (LINES[:6], "record 6"),
    "one twice": ([*LINES[:4], LINES[3], *LINES[4:]], "record 4"),
    "an old one at the end": ([*LINES, LINES[3]], "record 4"),
    "two swapped": (swapped(LINES, 4, 5), "record 6"),
    "far ones swapped": (swapped(LINES, 1, 9), "record 10"),
    "the last two swapped": (swapped(LINES, 10, 11), "record 12"),
    "turned round": (LINES[::-1], "record 12"),
    "an empty line": ([*LINES[:4], b"", *LINES[4:]], "record 5"),
}


@pytest.mark.parametrize(("lines", "names"), MOVES.values(), ids=list(MOVES))
def test_what_is_left_out_put_in_or_moved_is_found(bundles, check, lines, names):
    found = check(trails_of(bundles["whole"], lines))
    assert any(names in words for words in found)


PART_MOVES = {
    "the first taken out": [3, 4, 5, 6, 7],
    "one taken out": [2, 3, 5, 6, 7],
    "two swapped": [2, 4, 3, 5, 6, 7],
    "one twice": [2, 3, 3, 4, 5, 6, 7],
    "one more": [2, 3, 4, 5, 6, 7, 8],
    "another": [2, 3, 4, 5, 6, 9],
}


@pytest.mark.parametrize("places", PART_MOVES.values(), ids=list(PART_MOVES))
def test_in_a_part_the_proofs_show_it(bundles, check, places):
    found = check(trails_of(bundles["part"], [LINES[at] for at in places]))
    assert any("no proof in its place" in words or "not there" in words for words in found)


def test_a_part_that_leaves_one_out_with_its_proof_is_not_what_was_chosen(bundles, check):
    files = trails_of(bundles["part"], [LINES[at] for at in (2, 3, 5, 6, 7)])
    proofs = json.loads(files["proofs.json"])["paths"]
    proofs = ",\n".join(
        f'"{n}":{json.dumps(path, separators=(",", ":"))}' for n, path in proofs.items() if n != "5"
    )
    begin = files["proofs.json"].splitlines()[0].decode()
    files["proofs.json"] = f"{begin}\n{proofs}\n}}}}\n".encode()
    assert check(files) == ["bundle.json: not all of 3 to 8 are here"]


def trails_of(files, lines):
    return {**files, "statements.jsonl": b"".join(line + b"\n" for line in lines)}


def test_one_put_in_by_the_key_holder_is_found(bundles, check):
    """A record that is signed rightly and follows the one before it, and yet was not there."""
    forged = trails.plain(5, DIGESTS[3], FIRST, reason="Another.")
    whole = trails.Statement.of(trails.Predicate.model_validate(forged))
    line = sign(trails.canonical_bytes(whole), FIRST).line()
    found = check(changed_lines(bundles["whole"], 5, line))
    assert any("record 6" in words and "does not follow" in words for words in found)
    found = check(changed_lines(bundles["part"], 5, line, first=3))
    assert any(
        "record 5" in words and "does not lead to the checkpoint" in words for words in found
    )


def test_an_old_key_cannot_sign_after_its_time(bundles, check):
    forged = trails.plain(12, DIGESTS[10], FIRST)
    whole = trails.Statement.of(trails.Predicate.model_validate(forged))
    line = sign(trails.canonical_bytes(whole), FIRST).line()
    found = check(changed_lines(bundles["whole"], 12, line))
    assert any("record 12" in words and "was not to sign at" in words for words in found)


class TestCutBack:
    """The end cut off together with the checkpoint: only a newer one from elsewhere shows it."""

    def cut(self, bundles):
        older = trails.checkpoint(LINES[:6], FIRST, RING)
        return {**trails_of(bundles["whole"], LINES[:6]), "checkpoint.json": older + b"\n"}

    def test_with_a_newer_checkpoint_it_is_found(self, bundles, check):
        (found,) = check(self.cut(bundles), checkpoint=END)
        assert found.startswith("record 6: it is the last one, but the checkpoint")

    def test_without_one_it_is_said_that_this_was_not_checked(self, bundles, tmp_path):
        path = trails.pack(tmp_path / "cut.zip", self.cut(bundles))
        report = verify_bundle(path, key_id=ID)
        assert report.exit_code == 0
        assert any("--checkpoint" in words for words in trails.left(report))

    def test_a_part_of_another_chain_of_that_length_is_found(self, bundles, check):
        other = trails.plain(12, DIGESTS[10], SECOND, reason="Another.")
        whole = trails.Statement.of(trails.Predicate.model_validate(other))
        forged = [*LINES[:11], sign(trails.canonical_bytes(whole), SECOND).line()]
        end = trails.checkpoint(forged, SECOND, RING)
        found = check(bundles["part"], checkpoint=end)
        assert any("other records than the one that was given" in words for words in found)
        found = check(bundles["whole"], checkpoint=end)
        assert any("record 12" in words and "the checkpoint names" in words for words in found)


class TestOtherKeys:
    """Everything made anew by somebody with keys of their own."""

    @pytest.fixture(params=["whole", "part"])
    def forged(self, request, tmp_path):
        first, second = trails.new_signer(), trails.new_signer()
        ring = trails.new_ring(first, second)
        lines, digests = trails.chain(first, second)
        end = trails.checkpoint(lines, second, ring)
        whole = request.param == "whole"
        return trails.write(
            tmp_path / "forged.zip",
            lines if whole else lines[2:8],
            WHOLE if whole else SOME,
            ring=ring,
            end=end,
            digests=digests,
        )

    def test_it_is_found_with_the_right_keys_or_the_id_of_the_first(self, forged):
        found = trails.wrong(verify_bundle(forged, keys=RING))
        assert any("keyring.json: its keys are not those" in words for words in found)
        assert sum("is not in the key ring" in words for words in found) >= 6
        found = trails.wrong(verify_bundle(forged, key_id=ID))
        assert any("keyring.json: its first key is" in words for words in found)

    def test_the_true_checkpoint_shows_it_too(self, forged):
        found = trails.wrong(verify_bundle(forged, checkpoint=END))
        assert any("the checkpoint that was given" in words for words in found)

    def test_without_them_it_is_said_plainly_that_the_keys_are_its_own(self, forged):
        report = verify_bundle(forged)
        assert report.exit_code == 0
        assert any("the keys are the bundle's own" in words for words in trails.left(report))
        assert "could not be checked" in report.verdict


def test_a_key_that_a_stranger_added_is_found(bundles, check):
    at = trails.NOON + 8 * trails.HOUR
    ring = RING.with_key(STRANGER.public_key, STRANGER, now=at, overlap=trails.HOUR)
    found = check({**bundles["whole"], "keyring.json": ring.dumps()})
    assert any("was not endorsed by the one before it" in words for words in found)


def test_a_key_that_is_taken_out_of_the_ring_takes_its_records_with_it(bundles, check):
    shorter = {**bundles["whole"], "keyring.json": KeyRing(RING.keys[:1]).dumps()}
    found = check(shorter)
    assert sum("is not in the key ring" in words for words in found) == 7  # 6 and the checkpoint


def test_a_checkpoint_of_a_stranger_is_found(bundles, check):
    said = json.loads(trails.json_of(END)) | {
        "keyId": STRANGER.key_id,
        "signedAt": stamp(trails.NOON),
    }
    line = sign(rfc8785.dumps(said), STRANGER, "application/vnd.lethe.checkpoint+json").line()
    for kind in bundles:
        found = check({**bundles[kind], "checkpoint.json": line + b"\n"})
        assert any("checkpoint.json: its key" in words for words in found)
