"""Receipts of single rows, held to the statement they name once that was checked.

What a receipt says of itself is worth nothing: size and root of the forget set, the model and the
requests come from the statement. No message holds anything out of a receipt but the digest of the
statement it names, for it has ids of rows.
"""

import json
from collections.abc import Callable
from typing import Any

from lethe.audit.chain import Link
from lethe.audit.receipt import verify_receipt
from lethe.audit.verify.archive import Archive
from lethe.audit.verify.content import ENDED
from lethe.audit.verify.report import Report, shown

GIVEN = "the receipt that was given"


class Receipts:
    """The receipts of a bundle, and the one that was given; `seen` is called for each record."""

    def __init__(self, archive: Archive, given: object, report: Report) -> None:
        self._archive, self._given, self._report = archive, given, report
        self._waiting: dict[str, list[str]] = {}
        for name in archive.names:
            if name.startswith("receipts/"):
                self._expect(name, self._load(name))
        if given is not None:
            self._expect(GIVEN, given)

    def seen(self, link: Link, statement: Callable[[], dict[str, Any]], *, good: bool) -> None:
        """Check the receipts that name this record."""
        for name in self._waiting.pop(link.digest, []):
            if not good:
                self._report.bad(
                    "receipts", name, f"what is wrong with {link.name} is wrong with it"
                )
                continue
            found = self._given if name == GIVEN else self._load(name)
            problems = _problems(found, link, statement())
            for words in problems:
                self._report.bad("receipts", name, f"{words}; it names {link.name}")
            if not problems:
                self._report.good("receipts")

    def end(self) -> None:
        """Report those whose statement did not come."""
        for digest, names in self._waiting.items():
            for name in names:
                words = f"no record here has the digest that it names, {shown(digest)[:16]}…"
                self._report.bad("receipts", name, words)

    def _expect(self, name: str, found: object) -> None:
        try:
            digest = found["statement"]["sha256"]  # type: ignore[index]
            self._waiting.setdefault(digest, []).append(name)
        except ENDED:
            self._report.bad("receipts", name, "it is not a receipt")

    def _load(self, name: str) -> object:
        try:
            return json.loads(self._archive.read(name))
        except (ValueError, RecursionError):
            return None


def _problems(found: object, link: Link, statement: dict[str, Any]) -> list[str]:
    predicate = statement["predicate"]
    return verify_receipt(
        found,
        root=predicate["data"]["rows_root"],
        size=predicate["data"]["count"],
        statement_sha256=link.digest,
        sequence=link.sequence,
        model=statement["subject"][0]["name"],
        requests=[one["id"] for one in predicate["requests"]],
    )
