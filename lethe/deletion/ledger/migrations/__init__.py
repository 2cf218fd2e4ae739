"""Alembic migrations of the ledger, run by `lethe.deletion.ledger.migrate`."""
