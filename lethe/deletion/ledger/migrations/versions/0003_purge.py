"""When a request ended, and since when what it selected is no longer kept."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_INDEX = "ix_requests_purged_at_ended_at"
_ENDED = "('rejected', 'refused', 'failed', 'completed', 'partial', 'cancelled')"


def upgrade() -> None:
    """Add the columns; requests that have ended get the time of their last move."""
    op.add_column("requests", sa.Column("ended_at", _MOMENT))
    op.add_column("requests", sa.Column("purged_at", _MOMENT))
    op.add_column("requests", sa.Column("selected_by", sa.String(32)))
    op.create_index(_INDEX, "requests", ["purged_at", "ended_at"])
    op.execute(
        "UPDATE requests SET ended_at = (SELECT max(moves.at) FROM moves "  # noqa: S608 (fixed)
        "WHERE moves.request_id = requests.id "
        'AND (moves."before" IS NULL OR moves."before" <> moves."after")) '
        f"WHERE state IN {_ENDED}"
    )


def downgrade() -> None:
    """Remove the columns; what was purged stays purged."""
    op.drop_index(_INDEX, "requests")
    for column in ("selected_by", "purged_at", "ended_at"):
        op.drop_column("requests", column)
