"""Runs migrations on the connection it is given, inside that connection's transaction."""

from alembic import context

from lethe.deletion.ledger.migrate import VERSION_TABLE
from lethe.deletion.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # Alembic believes that SQLite cannot; with the driver's own transactions off, it can.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
