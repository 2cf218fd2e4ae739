r"""A receipt: shows a requester, offline, that their rows were in the forget set of a version.

    forgotten = ForgottenRows(key, sample_ids, domain)       # the statement says size and root
    receipt = make_receipt(forgotten, own, statement_sha256=..., sequence=4, model=..., request=...)
    verify_receipt(receipt, root=..., size=..., statement_sha256=...)   # [] is good

Every row has a secret nonce, made from a key that stays outside the record; the row's fingerprint
is an HMAC of its id under that nonce. The statement holds the number of rows and the root of a
Merkle tree (RFC 6962) over the sorted fingerprints. A receipt opens the requester's own
fingerprints and has their paths to the root. Whoever has it can test these ids and no others: to
test a guessed id takes that row's nonce. The domain differs from record to record, so that nobody
can link a row through two of them. A receipt holds sample ids: it is the requester's to keep.

A receipt shows that rows were in the set that was handed to the method; how well they were
forgotten is said by the statement's figures. A statement does not say which request of a batch
brought which row, nor does its receipt prove it.

Needs the standard library alone: the stand-alone verifier reads with it.
"""

import hmac
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from lethe.audit.merkle import Tree, leaf_hash, root_from_path

FORMAT: Final = "https://lethe.dev/receipt/v0.1"
MAX_PATH: Final = 64  # hashes: more rows than 2**64 there are not
FIELDS: Final = {"format", "statement", "model", "request", "forget_set", "rows"}
_HEX = re.compile(r"[0-9a-f]{64}")


def row_nonce(key: bytes, sample_id: str, domain: str) -> bytes:
    """A row's secret in one record, 32 bytes.

    Args:
        key: the secret that stays outside the record.
        sample_id: the row.
        domain: id of the record, without a zero byte.

    Raises:
        ValueError: if the domain holds a zero byte, or the id is no Unicode text.
    """
    return hmac.digest(key, _before(domain) + sample_id.encode(), "sha256")


def _before(domain: str) -> bytes:
    if "\0" in domain:
        raise ValueError("a domain holds no zero byte: it would blend with the id behind it")
    return b"lethe row nonce\0" + domain.encode() + b"\0"


def fingerprint(nonce: bytes, sample_id: str) -> bytes:
    """What the tree holds of a row, 32 bytes; nobody makes it without the row's nonce."""
    return hmac.digest(nonce, sample_id.encode(), "sha256")


def fingerprints(key: bytes, sample_ids: Iterable[str], domain: str) -> list[bytes]:
    """Fingerprints of rows, sorted, so that their order tells nothing.

    Raises:
        ValueError: if a row comes twice.
    """
    before, digest = _before(domain), hmac.digest
    encoded = (one.encode() for one in sample_ids)
    # Two HMACs per row are nearly all the time: no call more than needed.
    found = sorted(digest(digest(key, before + one, "sha256"), one, "sha256") for one in encoded)
    if any(one == other for one, other in pairwise(found)):
        raise ValueError("a row is named twice")
    return found


def rows_root(sorted_fingerprints: Sequence[bytes]) -> str:
    """Root of the tree over fingerprints, hex, as the statement says it."""
    return Tree(map(leaf_hash, sorted_fingerprints)).root().hex()


class ForgottenRows:
    """All rows of one record and their tree, for any number of receipts.

    Raises:
        ValueError: if a row comes twice.
    """

    def __init__(self, key: bytes, sample_ids: Iterable[str], domain: str) -> None:
        self._key, self._domain = key, domain
        self._sorted = fingerprints(key, sample_ids, domain)
        self._tree = Tree(map(leaf_hash, self._sorted))
        self.size = self._tree.size
        self.root = self._tree.root().hex()

    def opened(self, sample_id: str) -> dict[str, Any] | None:
        """A row's entry in a receipt; None if it is not in the set."""
        nonce = row_nonce(self._key, sample_id, self._domain)
        mark = fingerprint(nonce, sample_id)
        index = bisect_left(self._sorted, mark)
        if index == self.size or self._sorted[index] != mark:
            return None
        path = [one.hex() for one in self._tree.path(index)]
        return {"sample_id": sample_id, "nonce": nonce.hex(), "index": index, "path": path}


def make_receipt(
    forgotten: ForgottenRows,
    own: Collection[str],
    *,
    statement_sha256: str,
    sequence: int,
    model: str,
    request: str,
) -> dict[str, Any]:
    """A receipt, for JSON.

    Args:
        forgotten: the rows that the statement covers.
        own: sample ids of the requester.
        statement_sha256: digest of the statement, hex.
        sequence: its place in the chain, from 1.
        model: URI of the version, `models:/NAME/VERSION`.
        request: id of the deletion request.

    Raises:
        ValueError: if rows are not in the set (says how many), come twice, or there are none.
    """
    opened = [forgotten.opened(one) for one in own]
    rows = [row for row in opened if row is not None]
    if len(rows) < len(opened):
        raise ValueError(f"{len(opened) - len(rows)} of {len(opened)} rows are not in the set")
    if len({row["index"] for row in rows}) < len(rows):
        raise ValueError("a row is named twice")
    if not rows:
        raise ValueError("a receipt is about one row at least")
    return {
        "format": FORMAT,
        "statement": {"sha256": statement_sha256, "sequence": sequence},
        "model": model,
        "request": request,
        "forget_set": {"rows": forgotten.size, "root": forgotten.root},
        "rows": sorted(rows, key=lambda row: row["index"]),
    }


def verify_receipt(
    receipt: object,
    *,
    root: str,
    size: int,
    statement_sha256: str | None = None,
    sequence: int | None = None,
    model: str | None = None,
    requests: Collection[str] | None = None,
) -> list[str]:
    """What is wrong with a receipt, in words that hold nothing out of it; nothing is good.

    All expected values come from a statement whose signature was verified; the receipt's own are
    worth nothing. Those that are left out are not checked. Malformed input is told, never raised.

    Args:
        receipt: what `json.loads` gave.
        root: root over the rows, hex, as the statement says it.
        size: number of rows, likewise.
        statement_sha256: digest of the statement, hex.
        sequence: its place in the chain.
        model: URI of the version.
        requests: ids of the requests that the statement names.
    """
    malformed = _malformed(receipt)
    if malformed or not isinstance(receipt, dict):
        return malformed
    statement = receipt["statement"]
    checks = (
        (receipt["forget_set"]["rows"] == size, "it counts other rows than the statement"),
        (receipt["forget_set"]["root"] == root, "it names another root than the statement"),
        (statement_sha256 in {None, statement["sha256"]}, "it is about another statement"),
        (sequence in {None, statement["sequence"]}, "it names another place in the chain"),
        (model in {None, receipt["model"]}, "it names another model version"),
        (requests is None or receipt["request"] in requests, "its request is not in the statement"),
    )
    found = [words for good, words in checks if not good]
    for number, row in enumerate(receipt["rows"], 1):
        found += [f"row {number}: {words}" for words in _row_problems(row, root, size)]
    if len({row["index"] for row in receipt["rows"]}) < len(receipt["rows"]):
        found.append("two of its rows have the same place")
    return found


def _row_problems(row: dict[str, Any], root: str, size: int) -> list[str]:
    try:
        leaf = leaf_hash(fingerprint(bytes.fromhex(row["nonce"]), row["sample_id"]))
        path = [bytes.fromhex(one) for one in row["path"]]
        reached = root_from_path(leaf, row["index"], size, path).hex()
    except ValueError:  # also an id that no UTF-8 can hold
        return ["its path does not fit its place"]
    return [] if reached == root else ["it is not in the set that the statement covers"]


def _malformed(receipt: object) -> list[str]:
    """What keeps a receipt from being read."""
    if not isinstance(receipt, dict) or receipt.get("format") != FORMAT:
        return [f"it is not a receipt of the format {FORMAT}"]
    if set(receipt) != FIELDS:
        return ["it lacks a field or has one too many"]
    rows = receipt["rows"]
    if not isinstance(rows, list) or not rows:
        return ["it shows no row"]
    checks = (
        (_fits(receipt["statement"], STATEMENT), "it does not name its statement"),
        (_is_text(receipt["model"]), "it does not name its model version"),
        (_is_text(receipt["request"]), "it does not name its request"),
        (_fits(receipt["forget_set"], FORGET_SET), "it does not name the set"),
        *((_fits(row, ROW), f"row {number} is malformed") for number, row in enumerate(rows, 1)),
    )
    return [words for good, words in checks if not good]


def _fits(value: Any, form: Mapping[str, Callable[[Any], bool]]) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == set(form)
        and all(check(value[name]) for name, check in form.items())
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_hex(value: Any) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_path(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_PATH and all(map(_is_hex, value))


STATEMENT: Final = {"sha256": _is_hex, "sequence": _is_count}
FORGET_SET: Final = {"rows": _is_count, "root": _is_hex}
ROW: Final = {"sample_id": _is_text, "nonce": _is_hex, "index": _is_count, "path": _is_path}
