"""What the pages ask the ledger, for a reader who may see all sources or only one."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from lethe.audit.certified import pages
from lethe.audit.statement import Statement
from lethe.deletion.intake.view import Section, by_urgency, rows
from lethe.deletion.intake.wording import CLOSED, GROUPS, Group
from lethe.deletion.ledger.ledger import Ledger
from lethe.deletion.ledger.read import Unread
from lethe.deletion.ledger.types import Entry
from lethe.deletion.states import OPEN, State
from lethe.errors import RequestError

OVERDUE = "overdue"
PAGE_SIZE = 50
_SHOWN = 15
# The ledger finds by the order of filing; to have the nearest deadlines first, look ahead in steps.
_HORIZONS = (timedelta(0), timedelta(days=7), timedelta(days=31), None)


@dataclass(frozen=True)
class Choice:
    """What a reader wants to see: the fields of the filter, empty where it does not matter.

    `state` is a state, the key of a group, or "overdue".
    """

    state: str = ""
    model: str = ""
    source: str = ""

    @property
    def states(self) -> frozenset[State] | None:
        """The states meant, None for all.

        Raises:
            ValueError: if there is no such state or group.
        """
        if not self.state:
            return None
        if self.state == OVERDUE:
            return OPEN
        for group in GROUPS:
            if self.state == group.key:
                return frozenset(group.states)
        return frozenset({State(self.state)})

    @property
    def is_empty(self) -> bool:
        """Whether everything is wanted."""
        return self == Choice()

    def address(self, **changes: str) -> str:
        """The query of a link to this choice or a changed one; `after` is the page before."""
        after = {"after": changes.pop("after")} if "after" in changes else {}
        fields = vars(replace(self, **changes)) | after
        return "?" + urlencode({name: value for name, value in fields.items() if value})


@dataclass(frozen=True)
class Reader:
    """Asks the ledger for what one reader may see. `source` None: requests of every source."""

    ledger: Ledger
    source: str | None
    now: datetime

    def page(
        self, choice: Choice, states: Collection[State] | None, after: str | None
    ) -> tuple[list[Entry], str | None]:
        """A page of the requests chosen, newest first, and where the next one begins.

        Args:
            choice: what is wanted.
            states: those it means.
            after: the last request of the page before.

        Raises:
            RequestError: if there is no request `after`.
        """
        if self.source is not None and choice.source not in {"", self.source}:
            return [], None
        if after is not None:
            self.get(after)
        found = self.ledger.find(
            states=states,
            model=choice.model or None,
            source=self.source or choice.source or None,
            due_before=self.now if choice.state == OVERDUE else None,
            limit=PAGE_SIZE + 1,
            after=after,
        )
        return found[:PAGE_SIZE], found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None

    def sections(self, counts: dict[State, int] | None) -> tuple[Section, ...]:
        """The groups, each with its most urgent requests; of those that ended, the newest."""
        return tuple(
            Section(
                group,
                rows(self._of(group), self.now),
                sum(counts[state] for state in group.states) if counts is not None else None,
            )
            for group in GROUPS
        )

    def overdue(self, limit: int = 100) -> int:
        """How many requests are past their deadline, counted up to a limit."""
        found = self.ledger.find(states=OPEN, source=self.source, due_before=self.now, limit=limit)
        return len(found)

    def unreadable(self, limit: int) -> list[Unread]:
        """Tickets that could not be read, the latest first."""
        found = self.ledger.unreadable(limit)
        return [one for one in found if self.source in {None, one.source}]

    def get(self, request_id: str) -> Entry:
        """A request with its history.

        Raises:
            RequestError: if there is none, or the reader may not see it.
        """
        entry = self.ledger.get(request_id)
        if self.source not in {None, entry.request.source}:
            message = "There is no such request. Nothing was changed. See `lethe requests list`."
            raise RequestError(message)
        return entry

    def original(self, entry: Entry) -> Entry | None:
        """The request that an entry repeats, if the reader may see it."""
        if entry.duplicate_of is None:
            return None
        try:
            return self.get(entry.duplicate_of)
        except RequestError:
            return None

    def duplicates(self, entry: Entry) -> list[Entry]:
        """Those that repeat a request."""
        return self.ledger.find(duplicate_of=entry.id, source=self.source, limit=PAGE_SIZE)

    def together(self, entry: Entry, limit: int = 1000) -> int:
        """How many others are in its batch."""
        if entry.batch_id is None:
            return 0
        found = self.ledger.find(batch_id=entry.batch_id, source=self.source, limit=limit)
        return len([one for one in found if one.id != entry.id])

    def certificate(self, entry: Entry) -> str | None:
        """The artifact of its run that is its certificate, if the record has one for it."""
        facts = entry.facts
        kept = None if facts.statement is None else self.ledger.statements.get(facts.statement)
        if kept is None or kept.run_id != facts.run_id:
            return None
        try:
            return pages(Statement.of_line(kept.line).predicate).get(entry.id)
        except ValueError:  # of another version of Lethe
            return None

    def _of(self, group: Group) -> list[Entry]:
        if group is CLOSED:
            return self._newest(group.states)
        still_open = [state for state in group.states if state in OPEN]
        answered = [state for state in group.states if state not in OPEN]
        found = self._nearest(still_open)
        if answered:
            found += self._newest(answered)
        return by_urgency(found, self.now)[:_SHOWN]

    def _newest(self, states: Collection[State]) -> list[Entry]:
        return self.ledger.find(states=states, source=self.source, limit=_SHOWN)

    def _nearest(self, states: Collection[State]) -> list[Entry]:
        """Those with the nearest deadlines. Exact unless far more of them are due in one step."""
        found: dict[str, Entry] = {}
        for horizon in _HORIZONS:
            due = self.ledger.find(
                states=states,
                source=self.source,
                due_before=None if horizon is None else self.now + horizon,
                limit=4 * _SHOWN,
                newest_first=False,
            )
            found |= {entry.id: entry for entry in due}
            if len(found) >= _SHOWN:
                break
        return by_urgency(found.values(), self.now)[:_SHOWN]
