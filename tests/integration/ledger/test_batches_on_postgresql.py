"""The suite of tests/unit/deletion/ledger/test_ledger_batches.py, on PostgreSQL."""

from test_ledger_batches import *  # noqa: F403
