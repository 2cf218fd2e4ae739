"""Whether a bundle holds what it says was chosen.

What it says is not signed; the records are. So it is told whether every record here belongs to the
choice, and whether one could have been left out: places in the chain show that, a request does not.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lethe.audit.chain import Link
from lethe.audit.keyring import moment
from lethe.audit.verify.content import ENDED
from lethe.audit.verify.report import Report, shown


class Choice:
    """What was chosen; `seen` is called for each record."""

    def __init__(self, what: Mapping[str, Any], report: Report) -> None:
        self._what, self._report = what, report
        self._numbers = 0

    @property
    def whole(self) -> bool:
        """Whether it is the chain from its beginning."""
        return self._what == {"all": True}

    @property
    def words(self) -> str:
        """For the first line of a report."""
        if self.whole:
            return "all records"
        if set(self._what) == {"request"}:
            return f"the records of request {shown(self._what['request'])}"
        return f"the records from {_said(self._what, 'from')} to {_said(self._what, 'to')}"

    def seen(self, link: Link, statement: Callable[[], Mapping[str, Any]]) -> None:
        """See that a record belongs to the choice."""
        self._numbers += 1
        try:
            belongs = self.whole or _belongs(self._what, link, statement)
        except ENDED:
            belongs = False
        if not belongs:
            self._report.bad("files", link.name, "it is not what bundle.json says was chosen")

    def end(self) -> None:
        """Say what may have been left out."""
        first, last = self._what.get("from"), self._what.get("to")
        if self.whole:
            return
        if type(first) is int and type(last) is int:
            if self._numbers != last - first + 1:
                self._report.bad("files", "bundle.json", f"not all of {first} to {last} are here")
            return
        self._report.skip(
            "files",
            "a part of the chain was chosen; that no other record belongs to it is seen only in "
            "the whole chain",
        )


def _belongs(
    what: Mapping[str, Any], link: Link, statement: Callable[[], Mapping[str, Any]]
) -> bool:
    if set(what) == {"request"}:
        ids = [one["id"] for one in statement()["predicate"]["requests"]]
        return what["request"] in ids
    first, last = what["from"], what["to"]
    if type(first) is int and type(last) is int:
        return first <= link.sequence <= last
    return moment(first) <= moment(link.signed_at) <= moment(last)


def _said(what: Mapping[str, Any], name: str) -> str:
    value = what.get(name)
    return str(value)[:20] if type(value) is int else shown(value)
