"""The tables of the ledger, the same on SQLite and PostgreSQL.

What can be searched stands in plain columns and holds nothing personal. What may be personal (the
selection, where the answer goes, what a letter says) is sealed by `lethe.deletion.vault`. A change
here needs a migration in `migrations/versions`; a test compares the two.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


class Utc(TypeDecorator[datetime]):
    """A moment. Kept in UTC, given back in UTC with its zone, also by SQLite, which knows none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; a moment without zone is a mistake of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = "a moment without a time zone"
            raise ValueError(message)
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _number() -> Column[Any]:
    """A key that counts up; SQLite does so for INTEGER only."""
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column("seq", kind, primary_key=True, autoincrement=True)


requests = Table(
    "requests",
    metadata,
    _number(),
    Column("id", String(64), nullable=False, unique=True),
    # What is asked.
    Column("model", Text, nullable=False),
    Column("model_name", Text, nullable=False, index=True),
    Column("repository", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("rev", Text, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("evaluation", Text),
    Column("selection", LargeBinary),  # sealed
    Column("content_digest", String(64), nullable=False, index=True),
    # Who asks, why, until when.
    Column("source", Text, nullable=False),
    Column("ticket", Text, index=True),
    Column("by_delivery", Boolean, nullable=False),
    Column("ground", Text, nullable=False),
    Column("regulation", Text, nullable=False),
    Column("received_at", Utc, nullable=False),
    Column("due_at", Utc),
    Column("extendable_to", Utc),
    Column("extended", Boolean, nullable=False),
    Column("reply", LargeBinary),  # sealed
    # What the policy said.
    Column("policy", Text),
    Column("at_once", Boolean, nullable=False),
    Column("approvals_needed", Integer, nullable=False),
    Column("judged_state", String(32), nullable=False),
    Column("judged_reason", Text, nullable=False),
    # Where it stands.
    Column("state", String(32), nullable=False),
    Column("reason", Text),
    Column("updated_at", Utc, nullable=False),
    Column("ended_at", Utc),  # empty while something may still happen to it
    Column("held_from", String(32)),
    Column("duplicate_of", String(64), ForeignKey("requests.id"), index=True),
    Column("batch_id", String(64), ForeignKey("batches.id"), index=True),
    # What is known of it: the fields of `Facts`.
    Column("rows", BigInteger),
    Column("share", Float),
    Column("missing", BigInteger),
    Column("parent", Text),
    Column("successor", Text, index=True),
    Column("verdict", Text),
    Column("run_id", Text),
    Column("statement", Text),
    Column("forget_accuracy", Float),
    # Selection and reply are empty since; `selected_by` is then the kind of what was selected.
    Column("purged_at", Utc),
    Column("selected_by", String(32)),
    Index("ix_requests_state_due_at", "state", "due_at"),
    Index("ix_requests_purged_at_ended_at", "purged_at", "ended_at"),
)
# A ticket that was delivered has one request, unless that was cancelled or rejected.
_LIVE = text("by_delivery AND state NOT IN ('cancelled', 'rejected')")
Index(
    "uq_requests_ticket",
    requests.c.source,
    requests.c.ticket,
    unique=True,
    sqlite_where=_LIVE,
    postgresql_where=_LIVE,
)

moves = Table(
    "moves",
    metadata,
    _number(),
    Column("request_id", String(64), ForeignKey("requests.id"), nullable=False, index=True),
    Column("at", Utc, nullable=False),
    Column("actor", Text, nullable=False),
    Column("before", String(32)),
    Column("after", String(32), nullable=False),
    Column("reason", Text),
)

approvals = Table(
    "approvals",
    metadata,
    _number(),
    Column("request_id", String(64), ForeignKey("requests.id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Utc, nullable=False),
    UniqueConstraint("request_id", "actor"),
)

deliveries = Table(
    "deliveries",
    metadata,
    _number(),
    Column("digest", String(64), nullable=False, unique=True),  # keyed, of source and delivery id
    Column("source", Text, nullable=False),
    Column("ticket", Text),
    Column("reception", String(32), nullable=False, index=True),
    Column("request_id", String(64), ForeignKey("requests.id")),
    Column("problem", Text),
    Column("at", Utc, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    _number(),
    Column("id", String(64), nullable=False, unique=True),
    Column("model", Text, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("worker", Text),
    Column("token", String(64), nullable=False),
    Column("lease_until", Utc),  # empty: nobody has it
    Column("attempt", Integer, nullable=False),
    Column("rung", Integer, nullable=False),
    Column("parent_batch", String(64), ForeignKey("batches.id")),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc, index=True),
)

letters = Table(
    "letters",
    metadata,
    _number(),
    Column("kind", String(32), nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("request_id", String(64), index=True),
    Column("payload", LargeBinary),  # sealed; emptied once sent, or by a purge
    Column("created_at", Utc, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("token", String(64), nullable=False),
    Column("lease_until", Utc),
    Column("sent_at", Utc),
    Column("dead_at", Utc),
    Column("error", Text),
    Index("ix_letters_waiting", "sent_at", "dead_at", "due_at"),
)

# The audit trail: signed records, each naming the one before it. Triggers refuse any change.
statements = Table(
    "statements",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("work", String(200), nullable=False, unique=True),  # what may be recorded only once
    Column("run_id", String(64), nullable=False, index=True),
    Column("key_id", String(64), nullable=False),
    Column("signed_at", Utc, nullable=False),
    Column("line", LargeBinary, nullable=False),  # the DSSE envelope
    Column("tree", Text, nullable=False),  # of all digests up to here: `CompactRange`, JSON
)

# One row, sealed: tells at once whether the key is the ledger's own.
seals = Table(
    "seals",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
