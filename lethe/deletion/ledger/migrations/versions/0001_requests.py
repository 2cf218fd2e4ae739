"""The ledger's first form: requests, their moves, deliveries, batches and letters."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_LIVE = sa.text("by_delivery AND state NOT IN ('cancelled', 'rejected')")


def upgrade() -> None:
    """Make all tables."""
    _batches()
    _requests()
    _about_requests()
    _letters()
    op.create_table(
        "seals",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_seals"),
    )


def downgrade() -> None:
    """Remove all tables, and all requests with them."""
    for table in ("seals", "letters", "deliveries", "approvals", "moves", "requests", "batches"):
        op.drop_table(table)


def _number() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("seq", kind, autoincrement=True, nullable=False)


def _batches() -> None:
    op.create_table(
        "batches",
        _number(),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text()),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("lease_until", _MOMENT),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("parent_batch", sa.String(64)),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("finished_at", _MOMENT),
        sa.PrimaryKeyConstraint("seq", name="pk_batches"),
        sa.UniqueConstraint("id", name="uq_batches_id"),
        sa.ForeignKeyConstraint(["parent_batch"], ["batches.id"], name="fk_batches_parent_batch"),
    )
    op.create_index("ix_batches_finished_at", "batches", ["finished_at"])


def _requests() -> None:
    op.create_table(
        "requests",
        _number(),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("rev", sa.Text(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("evaluation", sa.Text()),
        sa.Column("selection", sa.LargeBinary()),
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Text()),
        sa.Column("by_delivery", sa.Boolean(), nullable=False),
        sa.Column("ground", sa.Text(), nullable=False),
        sa.Column("regulation", sa.Text(), nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT),
        sa.Column("extendable_to", _MOMENT),
        sa.Column("extended", sa.Boolean(), nullable=False),
        sa.Column("reply", sa.LargeBinary()),
        sa.Column("policy", sa.Text()),
        sa.Column("at_once", sa.Boolean(), nullable=False),
        sa.Column("approvals_needed", sa.Integer(), nullable=False),
        sa.Column("judged_state", sa.String(32), nullable=False),
        sa.Column("judged_reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("held_from", sa.String(32)),
        sa.Column("duplicate_of", sa.String(64)),
        sa.Column("batch_id", sa.String(64)),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("share", sa.Float()),
        sa.Column("missing", sa.BigInteger()),
        sa.Column("parent", sa.Text()),
        sa.Column("successor", sa.Text()),
        sa.Column("verdict", sa.Text()),
        sa.Column("run_id", sa.Text()),
        sa.Column("statement", sa.Text()),
        sa.Column("forget_accuracy", sa.Float()),
        sa.PrimaryKeyConstraint("seq", name="pk_requests"),
        sa.UniqueConstraint("id", name="uq_requests_id"),
        sa.ForeignKeyConstraint(["duplicate_of"], ["requests.id"], name="fk_requests_duplicate_of"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_requests_batch_id"),
    )
    indexed = ("model_name", "content_digest", "ticket", "duplicate_of", "batch_id", "successor")
    for column in indexed:
        op.create_index(f"ix_requests_{column}", "requests", [column])
    op.create_index("ix_requests_state_due_at", "requests", ["state", "due_at"])
    op.create_index(
        "uq_requests_ticket",
        "requests",
        ["source", "ticket"],
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )


def _about_requests() -> None:
    op.create_table(
        "moves",
        _number(),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("before", sa.String(32)),
        sa.Column("after", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("seq", name="pk_moves"),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name="fk_moves_request_id"),
    )
    op.create_index("ix_moves_request_id", "moves", ["request_id"])
    op.create_table(
        "approvals",
        _number(),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_approvals"),
        sa.UniqueConstraint("request_id", "actor", name="uq_approvals_request_id"),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name="fk_approvals_request_id"),
    )
    op.create_table(
        "deliveries",
        _number(),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Text()),
        sa.Column("reception", sa.String(32), nullable=False),
        sa.Column("request_id", sa.String(64)),
        sa.Column("problem", sa.Text()),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_deliveries"),
        sa.UniqueConstraint("digest", name="uq_deliveries_digest"),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name="fk_deliveries_request_id"),
    )
    op.create_index("ix_deliveries_reception", "deliveries", ["reception"])


def _letters() -> None:
    op.create_table(
        "letters",
        _number(),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_id", sa.String(64)),
        sa.Column("payload", sa.LargeBinary()),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("lease_until", _MOMENT),
        sa.Column("sent_at", _MOMENT),
        sa.Column("dead_at", _MOMENT),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("seq", name="pk_letters"),
        sa.UniqueConstraint("key", name="uq_letters_key"),
    )
    op.create_index("ix_letters_request_id", "letters", ["request_id"])
    op.create_index("ix_letters_waiting", "letters", ["sent_at", "dead_at", "due_at"])
