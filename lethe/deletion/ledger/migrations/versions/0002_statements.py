"""The audit trail: signed records in a chain, to which the database itself only lets us add."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WORDS = "the audit trail only grows"


def upgrade() -> None:
    """Make the table and what guards it."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "statements",
        sa.Column("sequence", number, autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("work", sa.String(200), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.Column("tree", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_statements"),
        sa.UniqueConstraint("digest", name="uq_statements_digest"),
        sa.UniqueConstraint("work", name="uq_statements_work"),
    )
    op.create_index("ix_statements_run_id", "statements", ["run_id"])
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER statements_no_{event.lower()} BEFORE {event} ON statements "
                f"BEGIN SELECT RAISE(ABORT, '{_WORDS}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION statements_only_grow() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_WORDS}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER statements_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON statements "
        "FOR EACH STATEMENT EXECUTE FUNCTION statements_only_grow()"
    )


def downgrade() -> None:
    """Remove the audit trail from the ledger; its copies in files stay."""
    op.drop_table("statements")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION statements_only_grow()")
