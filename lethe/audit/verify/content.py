"""What a statement says, held against itself and against earlier ones of the same run.

    content_problems(statement)                # in words; empty is good
    Runs().problems(4, statement)              # words about earlier records of its run
    Runs().compared(4, said_of(statement))     # the same in two steps; the first needs no other

A signature shows who wrote a statement, not that it makes sense. Figures are written with six
significant digits: rounding can make a figure equal to its threshold but never move it across, so
only what lies strictly on the other side contradicts a gate.

`Runs` keeps its notes in a temporary database on disk: memory stays the same.
"""

import hashlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

import rfc8785

from lethe.audit.keyring import moment

FAST: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False
)
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPES: Final = {"https://lethe.dev/statement/v0.3", "https://lethe.dev/statement/v0.4"}
Said = tuple[bytes, bytes, str]
VERDICTS: Final = {"erased", "suppressed", "retrained", "refused"}
# What reading a value of an unexpected kind raises; a number or a nesting can be too large, too.
ENDED: Final = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError,
)  # fmt: skip


def content_problems(statement: Mapping[str, Any], digest: str | None = None) -> list[str]:
    """What is wrong with what a statement says, in words.

    Args:
        statement: what `json.loads` gave.
        digest: SHA-256 of the bytes it was read from, hex, to see that they are canonical
            (RFC 8785): no name twice, one way to write a number.
    """
    found = [] if digest is None or _canonical(statement, digest) else ["it is not canonical"]
    if set(statement) != {"_type", "subject", "predicateType", "predicate"}:
        return [*found, "it does not have the form of a statement"]
    if statement["_type"] != STATEMENT_TYPE:
        found.append("its _type is not that of an in-toto statement")
    if statement["predicateType"] not in PREDICATE_TYPES:
        return [*found, "its predicateType is not known here; take a newer verifier"]
    return found + [words for check in CHECKS for words in _tried(check, statement)]


def _tried(
    check: Callable[[Mapping[str, Any]], list[str]], statement: Mapping[str, Any]
) -> list[str]:
    try:
        return check(statement)
    except ENDED:
        return [f"it lacks what it must say, or says it wrongly: {check.__name__.strip('_')}"]


def _canonical(statement: Mapping[str, Any], digest: str) -> bool:
    # The fast way writes nearly every statement as RFC 8785 does; the exact one decides.
    try:
        fast = FAST.encode(statement)
        exact = rfc8785.dumps
        return _sha256(fast.encode()) == digest or _sha256(exact(dict(statement))) == digest
    except (ValueError, TypeError, RecursionError):
        return False


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _subject(statement: Mapping[str, Any]) -> list[str]:
    predicate = statement["predicate"]
    version = predicate["successor"] or predicate["parent"]
    digest = {"sha256": version["weights_sha256"]}
    versions = [one for one in (predicate["parent"], predicate["successor"]) if one is not None]
    found = [
        "the number of a version is not that of its name"
        for one in versions
        if one["uri"].rpartition("/")[2] != str(one["version"])
    ]
    if statement["subject"] != [{"name": version["uri"], "digest": digest}]:
        found.append("its subject is not its successor, or its parent when it has none")
    return found


def _verdict(statement: Mapping[str, Any]) -> list[str]:
    predicate = statement["predicate"]
    verdict = predicate["verdict"]
    found = [] if verdict in VERDICTS else ["its verdict is not a known one"]
    if not isinstance(predicate["run_id"], str):
        found.append("it does not name its run")
    if (predicate["successor"] is None) != (verdict == "refused"):
        found.append("a refusal has no successor, every other verdict has one: not so here")
    if verdict != "refused" and any(gate["passed"] is False for gate in predicate["gates"]):
        found.append("a gate failed, and yet it was not refused")
    return found


def _requests(statement: Mapping[str, Any]) -> list[str]:
    ids = [one["id"] for one in statement["predicate"]["requests"]]
    if not ids or not all(isinstance(one, str) for one in ids):
        return ["it names no requests"]
    return [] if len(set(ids)) == len(ids) else ["it names a request twice"]


def _gates(statement: Mapping[str, Any]) -> list[str]:
    return [
        f"gate {number} ({gate['comparison']}) does not say what its figures say"
        for number, gate in enumerate(statement["predicate"]["gates"], 1)
        if _contradicts(gate)
    ]


def _contradicts(gate: Mapping[str, Any]) -> bool:
    measured, passed = gate["measured"], gate["passed"]
    if gate["comparison"] not in {"<=", ">="} or not (passed is None or type(passed) is bool):
        raise ValueError(gate["comparison"])
    if measured is None or passed is None:
        return passed is True  # what was not measured has not passed
    room = _number(gate["threshold"]) - _number(measured)
    room = room if gate["comparison"] == "<=" else -room
    return room < 0 if passed else room > 0


def _number(value: Any) -> float:
    # A whole number beyond 2**53 is written as text.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(type(value))
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def _times(statement: Mapping[str, Any]) -> list[str]:
    times = statement["predicate"]["times"]
    started, finished = _moment(times["started"]), _moment(times["finished"])
    return ["it ended before it began"] if finished < started else []


def _moment(text: Any) -> datetime:
    return moment(text)


def _data(statement: Mapping[str, Any]) -> list[str]:
    data = statement["predicate"]["data"]
    root, count = data["rows_root"], data["count"]
    good = len(bytes.fromhex(root)) == 32 and type(count) is int and count >= 0
    return [] if good else ["it does not say how many rows were forgotten, and their root"]


def _choice(statement: Mapping[str, Any]) -> list[str]:
    """The step that it says it was at is the method, the run and the verdict that it names."""
    predicate = statement["predicate"]
    choice = predicate.get("choice")
    if choice is None:
        return []
    rungs, at = choice["rungs"], choice["at"]
    rung = rungs[at]
    found = []
    if (rung["method"], rung["run_id"]) != (predicate["method"]["name"], predicate["run_id"]):
        found.append("the step of the ladder that it is at is another method or run")
    if (rung["outcome"] == "refused") != (predicate["verdict"] == "refused"):
        found.append("the step of the ladder that it is at ended otherwise than its verdict")
    if any(one["outcome"] not in {"refused", "unable"} for one in rungs[:at]):
        found.append("a step of the ladder was taken though one before it had not failed")
    return found


CHECKS: Final = (_subject, _verdict, _requests, _gates, _data, _times, _choice)


def said_of(statement: Mapping[str, Any]) -> list[Said]:
    """What a statement says of its run, for `Runs`: about what, and what, both hashed; in words."""
    try:
        return [
            (_hashed(about), _hashed(said), words)
            for about, said, words in _of_run(statement["predicate"])
        ]
    except ENDED:
        return []  # it was told already that they are missing


class Runs:
    """What earlier records said of their runs; close it, or use it in a `with` block."""

    def __init__(self) -> None:
        self._notes = sqlite3.connect("", isolation_level=None)  # a file that goes by itself
        self._notes.execute(
            "CREATE TABLE said (about BLOB PRIMARY KEY, words BLOB, record INTEGER) WITHOUT ROWID"
        )
        self._notes.execute("BEGIN")  # nothing is ever committed: no waiting for the disk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with closing(self._notes):
            self._notes.rollback()

    def problems(self, record: int, statement: Mapping[str, Any]) -> list[str]:
        """Earlier records of the same run that say something else; then it is noted.

        A run has one parent and one forget set, and gives one version one set of weights and one
        verdict. It may be refused and, by other gates, registered later.
        """
        return self.compared(record, said_of(statement))

    def compared(self, record: int, said: Iterable[Said]) -> list[str]:
        """Likewise, with what `said_of` gave."""
        earlier = [(words, self._note(record, about, value)) for about, value, words in said]
        return [
            f"record {other} of the same run names another {words}"
            for words, other in earlier
            if other is not None
        ]

    def _note(self, record: int, key: bytes, value: bytes) -> int | None:
        """The earlier record that says something else of it."""
        query = "INSERT INTO said VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        if self._notes.execute(query, (key, value, record % 2**63)).rowcount == 1:
            return None
        query = "SELECT words, record FROM said WHERE about = ?"
        known, other = self._notes.execute(query, (key,)).fetchone()
        return None if known == value else int(other)


def _of_run(predicate: Mapping[str, Any]) -> list[tuple[Any, Any, str]]:
    run, parent, data = predicate["run_id"], predicate["parent"], predicate["data"]
    after = predicate["successor"]
    given = [data[one] for one in ("repository", "path", "git_rev", "dvc_md5", "rows_root")]
    given += [parent["uri"], parent["weights_sha256"]]
    told: list[tuple[Any, Any, str]] = [([run], given, "parent or forget set")]
    if after is not None:
        outcome = [after["weights_sha256"], predicate["verdict"]]
        told.append(([run, after["uri"]], outcome, "outcome for the same version"))
    return told


def _hashed(value: Any) -> bytes:
    # It is only compared by one Python, and nothing writes plain values faster.
    return hashlib.sha256(repr(value).encode("utf-8", "backslashreplace")).digest()[:16]
