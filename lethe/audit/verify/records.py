"""Holds records to each other, in their order: places, runs, and where the chain must lead.

    check_all(records, trust, report, seen)            # a whole bundle: the chain from record 1
    check_chosen(records, paths, trust, report, seen)  # a part: each one's path to the root

What can be told of a record by itself was found before, by `lethe.audit.verify.examine`.

Memory stays the same however many records there are.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from lethe.audit.chain import ChainCheck, Checkpoint, Link
from lethe.audit.keyring import KeyRing
from lethe.audit.merkle import CompactRange, verify_inclusion
from lethe.audit.verify.content import ENDED, Runs
from lethe.audit.verify.examine import Examined
from lethe.audit.verify.report import Report, shown

NAMED: Final = 3  # requests that a record's name holds
Statement = Callable[[], dict[str, Any]]
Seen = Callable[[Link, Statement, bool], None]


@dataclass(frozen=True)
class Trust:
    """The keys, and how far the chain goes: as the bundle says, and as somebody else says."""

    ring: KeyRing
    checkpoint: Checkpoint | None
    other: Checkpoint | None

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """Those that there are."""
        return [one for one in (self.checkpoint, self.other) if one is not None]


def name_of(link: Link, read: Statement) -> str:
    """How messages call a record."""
    statement = read()
    try:
        requests = [shown(one["id"]) for one in statement["predicate"]["requests"]]
        about = shown(statement["subject"][0]["name"])
    except ENDED:
        requests, about = [], "?"
    more = f" and {len(requests) - NAMED} more" if len(requests) > NAMED else ""
    asked = ", ".join(requests[:NAMED]) + more or "?"
    return f"record {link.sequence} (sha256 {link.digest[:16]}…, requests {asked}, {about})"


def check_all(records: Iterable[Examined], trust: Trust, report: Report, seen: Seen) -> int:
    """Check a chain from its first record on.

    Args:
        records: the records, examined.
        trust: keys and checkpoints.
        report: where everything is told.
        seen: called with each record's place and statement, and whether it is in order.

    Returns:
        How many there are.
    """
    chain, number = ChainCheck(trust.ring), 0
    with Runs() as runs:
        for one in records:
            number += 1
            if one.link is None:
                report.bad("records", f"record {chain.expected}", one.problems[0])
                continue
            found = chain.follow(one.link, one.problems)
            found += _at_checkpoint(one.link, chain.tree, trust)
            name = partial(name_of, one.link, one.statement)
            good = _tell("records", name, found, report)
            found = one.content + runs.compared(one.link.sequence, one.said)
            good &= _tell("content", name, found, report)
            seen(one.link, one.statement, good)
    _check_end(chain.last, trust, report)
    return number


def _at_checkpoint(link: Link, tree: CompactRange, trust: Trust) -> list[str]:
    found = []
    for known in trust.checkpoints:
        if link.sequence == known.size:
            if link.digest != known.head:
                found.append("it is not the one that the checkpoint names as the last")
            elif tree.root().hex() != known.root:
                found.append("the records up to here are not those that the checkpoint covers")
    return found


def _check_end(last: Link | None, trust: Trust, report: Report) -> None:
    size = 0 if last is None else last.sequence
    for known in trust.checkpoints:
        if size < known.size:
            report.bad(
                "checkpoint",
                f"record {size}",
                f"it is the last one, but the checkpoint of {shown(known.signed_at)} says "
                f"{known.size}: what came after it is missing",
            )
    if trust.checkpoint is not None and size > trust.checkpoint.size:
        report.skip(
            "checkpoint",
            f"it does not cover what comes after record {trust.checkpoint.size}: of these, "
            "the last ones could be missing",
        )


def check_chosen(
    records: Iterable[Examined],
    paths: Iterator[tuple[int, list[bytes]]],
    trust: Trust,
    report: Report,
    seen: Seen,
) -> int:
    """Check chosen records: each signature, each path to the checkpoint's root, and neighbours.

    Args:
        records: the records, examined, in the order of the chain.
        paths: the proofs, in the same order.
        trust: keys and checkpoints.
        report: where everything is told.
        seen: as for `check_all`.

    Returns:
        How many there are.
    """
    last: Link | None = None
    number = 0
    with Runs() as runs:
        for one in records:
            number += 1
            path = _next_path(paths, report)
            link = one.link
            if link is None:
                place = f"record {number} of the bundle" if path is None else f"record {path[0]}"
                report.bad("records", place, one.problems[0])
                continue
            name = partial(name_of, link, one.statement)
            good = _tell("records", name, one.problems + _neighbour(link, last), report)
            good &= _tell("proofs", name, _unproven(link, path, trust), report)
            found = one.content + runs.compared(link.sequence, one.said)
            good &= _tell("content", name, found, report)
            seen(link, one.statement, good)
            last = link
    if _next_path(paths, report) is not None:
        report.bad("proofs", "proofs.json", "it has a proof of a record that is not there")
    return number


def _next_path(
    paths: Iterator[tuple[int, list[bytes]]], report: Report
) -> tuple[int, list[bytes]] | None:
    try:
        return next(paths, None)
    except ValueError as error:
        report.bad("proofs", "proofs.json", str(error))
        return None


def _neighbour(link: Link, last: Link | None) -> list[str]:
    if (link.sequence == 1) != (link.previous is None):
        return ["the first record, and only that one, has none before it"]
    if last is None or link.sequence > last.sequence + 1:
        return []
    if link.sequence != last.sequence + 1:
        return [f"it stands after record {last.sequence}"]
    return [] if link.previous == last.digest else ["it does not follow the record before it"]


def _unproven(link: Link, path: tuple[int, list[bytes]] | None, trust: Trust) -> list[str]:
    found = []
    known = trust.checkpoint
    if path is None:
        found.append("it has no proof in its place")
    elif path[0] != link.sequence:
        found.append(f"it has no proof in its place, where record {path[0]} belongs")
    elif known is None:
        found.append("there is no checkpoint that its proof could lead to")
    elif not verify_inclusion(
        bytes.fromhex(link.digest), link.sequence - 1, known.size, path[1],
        bytes.fromhex(known.root),
    ):  # fmt: skip
        found.append("its proof does not lead to the checkpoint")
    heads = {one.head for one in trust.checkpoints if one.size == link.sequence}
    if heads - {link.digest}:
        found.append("it is not the one that the checkpoint names as the last")
    return found


def _tell(what: str, named: Callable[[], str], found: list[str], report: Report) -> bool:
    """Report what was found of a record; whether it is in order."""
    if not found:
        report.good(what)
        return True
    name = named()
    for words in found:
        report.bad(what, name, words)
    return False
