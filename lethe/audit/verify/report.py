"""What a verification found, and how it is told.

    report = Report("trail.zip")
    report.good("records")                              # counted
    report.bad("records", "record 4 (...)", "its signature does not hold")
    report.skip("data", "it needs the servers")
    report.exit_code                                    # 0, or 9 when something is wrong

What is in order is only counted, and of what is wrong the first `MOST` are kept: memory stays the
same however many records there are. Texts that come out of a bundle go through `shown`,
messages through `printable`, so that nothing in it can steer a terminal.
"""

import json
from collections import Counter
from typing import Any, Final

from lethe.audit.checks import Check, not_checked, ok, wrong

MOST: Final = 1000
LONGEST: Final = 100  # characters of a text out of a bundle
KINDS: Final = ("files", "keys", "checkpoint", "records", "content", "proofs", "receipts")
WRONG: Final = 9


class Report:
    """What was checked and what came of it.

    Attributes:
        title: what was checked, for the first line.
        good_by_kind: how many were in order.
        wrong_by_kind: how many were not.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.good_by_kind: Counter[str] = Counter()
        self.wrong_by_kind: Counter[str] = Counter()
        self._wrong: list[Check] = []
        self._not: list[Check] = []

    def good(self, what: str, number: int = 1) -> None:
        """Count what is in order."""
        self.good_by_kind[what] += number

    def bad(self, what: str, record: str, words: str) -> None:
        """Keep what is wrong."""
        self.wrong_by_kind[what] += 1
        if len(self._wrong) < MOST:
            self._wrong.append(wrong(what, record, printable(words)))

    def skip(self, what: str, words: str, record: str = "") -> None:
        """Keep what could not be checked, and why."""
        if len(self._not) < MOST:
            self._not.append(not_checked(what, record, words))

    def add(self, later: "Report") -> None:
        """Go on with what another one was told meanwhile."""
        self.good_by_kind.update(later.good_by_kind)
        self.wrong_by_kind.update(later.wrong_by_kind)
        self._wrong += later._wrong[: MOST - len(self._wrong)]  # noqa: SLF001 (of its own kind)
        self._not += later._not[: MOST - len(self._not)]  # noqa: SLF001

    @property
    def checked(self) -> list[Check]:
        """What is wrong, what was not checked, and the kinds that are in order throughout."""
        return [*self._wrong, *self._not, *map(ok, self.in_order)]

    @property
    def wrong_total(self) -> int:
        """How much is wrong, with what was not kept."""
        return self.wrong_by_kind.total()

    @property
    def exit_code(self) -> int:
        """0 when nothing is wrong, else 9."""
        return WRONG if self.wrong_total else 0

    def lines(self) -> list[str]:
        """The report for people."""
        kinds = [*dict.fromkeys((*KINDS, *self.good_by_kind, *self.wrong_by_kind))]
        counts = [(one, self.good_by_kind[one], self.wrong_by_kind[one]) for one in kinds]
        told = [
            f"{one:<11} {good:>9,} in order" + (f", {bad:,} wrong" if bad else "")
            for one, good, bad in counts
            if good or bad
        ]
        left_out = self.wrong_total - len(self._wrong)
        return [
            self.title,
            *told,
            *(f"WRONG: {_about(one)}{one.words}" for one in self._wrong),
            *([f"WRONG: {left_out:,} more, not shown"] if left_out else []),
            *(f"NOT CHECKED: {_about(one)}{one.words}" for one in self._not),
            self.verdict,
        ]

    @property
    def verdict(self) -> str:
        """All of it in a line."""
        if self.wrong_total:
            total = self.wrong_total
            things = "1 thing is" if total == 1 else f"{total:,} things are"
            return f"VERDICT: {things} wrong. Do not rely on these records."
        rest = f" {len(self._not)} could not be checked, see above." if self._not else ""
        return f"VERDICT: all that was checked is in order.{rest}"

    def to_json(self) -> str:
        """The report for programs."""
        found: dict[str, Any] = {
            "title": self.title,
            "good": dict(self.good_by_kind),
            "wrong": dict(self.wrong_by_kind),
            "checked": [vars(one) for one in self.checked],
            "exit_code": self.exit_code,
        }
        return json.dumps(found, indent=2)

    @property
    def in_order(self) -> list[str]:
        """Kinds of which nothing is wrong."""
        return [one for one in self.good_by_kind if not self.wrong_by_kind[one]]


def shown(value: object) -> str:
    """A text out of a bundle, as it may be printed."""
    text = value if isinstance(value, str) else "?"
    cut = text[:LONGEST] + ("…" if len(text) > LONGEST else "")
    return printable(cut)


def printable(text: str) -> str:
    """A text without anything that steers a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _about(check: Check) -> str:
    return f"{check.record or check.what}: "
