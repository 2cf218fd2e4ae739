"""What the parts of the ledger share while one transaction lasts."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from lethe.deletion.ledger.engine import Database
from lethe.deletion.ledger.types import Entry, Letter, Move
from lethe.deletion.request import ActorName
from lethe.deletion.vault import Vault
from lethe.errors import RequestError
from lethe.logs import trail

Announce = Callable[[Entry, Move], Sequence[Letter]]
P = ParamSpec("P")
T = TypeVar("T")
LONGEST_LINE = 500
_ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[A-Za-z]{2,}")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ACTOR: TypeAdapter[str] = TypeAdapter(ActorName)


@dataclass(frozen=True)
class Transaction:
    """A connection inside a transaction, and what goes with it.

    `moved` are the moves that it makes, for the log once they are committed. `now` was read after
    the writer's turn had come, so no waiting makes a lease look longer.
    """

    sql: Connection
    vault: Vault
    now: datetime
    announce: Announce | None = None
    moved: list[tuple[Entry, Move]] = field(default_factory=list)


@dataclass(frozen=True)
class Transactions:
    """Runs work in transactions of its own, one each."""

    database: Database
    vault: Vault
    announce: Announce | None
    clock: Callable[[], datetime]

    def write(
        self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As the only writer; nothing is kept if it raises."""
        begun: list[Transaction] = []

        def run(sql: Connection) -> T:
            begun.append(self._begin(sql))  # the last one is the one that was committed
            return work(begun[-1], *args, **kwargs)

        done = self.database.write(run)
        _log(begun[-1].moved)
        return done

    def read(
        self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """On one snapshot."""
        return self.database.read(lambda sql: work(self._begin(sql), *args, **kwargs))

    def _begin(self, sql: Connection) -> Transaction:
        return Transaction(sql, self.vault, self.clock(), self.announce)


def _log(moved: Sequence[tuple[Entry, Move]]) -> None:
    """A line for each move: ids alone, neither the reason nor who made it."""
    if not trail.isEnabledFor(logging.INFO):
        return
    for entry, move in moved:
        facts = entry.facts
        ids = {
            "request_id": entry.id,
            "before": move.before and str(move.before),
            "after": str(move.after),
            "source": entry.request.source,
            "ticket": entry.request.ticket,
            "batch_id": entry.batch_id,
            "mlflow_run_id": facts.run_id,
            "successor": facts.successor,
            "statement": facts.statement,
        }
        known = {name: value for name, value in ids.items() if value is not None}
        trail.info("%s is %s", entry.id, move.after, extra=known)


def one_line(text: str | None) -> str | None:
    r"""A reason as it may stand in the history: one line, no e-mail address, not endless.

    It is mended and not refused, since the move it belongs to must not be lost for its wording.

    >>> one_line("asked by anna@example.org\n twice")
    'asked by (address left out) twice'
    """
    if text is None:
        return None
    line = " ".join(_UNSEEN.sub(" ", text).split())
    return _ADDRESS.sub("(address left out)", line)[:LONGEST_LINE] or None


def checked_actor(actor: str) -> str:
    """The actor, if it is named as it must be.

    Raises:
        RequestError: if not; the name is not repeated, it may be an address.
    """
    try:
        return _ACTOR.validate_python(actor)
    except ValidationError:
        raise RequestError(
            "Who does this is not named as it must be. Nothing was changed. Use a login or a role: "
            "letters, digits and . _ : / - only, such as --actor dpo."
        ) from None


def model_name(model: str) -> str:
    """The registered name of NAME@ALIAS or NAME/NUMBER."""
    return re.split(r"[@/]", model, maxsplit=1)[0]
