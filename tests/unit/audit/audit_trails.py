"""Trails of twelve signed records, bundles of them, and what a report says, for tests."""

import base64
import hashlib
import json
import zipfile
from datetime import timedelta

from audit_statements import NOON, REQUEST, content
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lethe.audit.bundle import write_bundle
from lethe.audit.chain import ChainCheck, Checkpoint
from lethe.audit.dsse import Envelope, sign
from lethe.audit.keyring import KeyRing, stamp
from lethe.audit.keystore import KeySigner
from lethe.audit.predicate import Predicate
from lethe.audit.receipt import ForgottenRows, make_receipt
from lethe.audit.statement import Statement, canonical_bytes, digest

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


def json_of(line):
    return Envelope.parse(line).payload


def base64_of(data):
    return base64.b64encode(data).decode()
