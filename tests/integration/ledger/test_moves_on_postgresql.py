"""The suite of tests/unit/deletion/ledger/test_ledger_moves.py, on PostgreSQL."""

from test_ledger_moves import *  # noqa: F403
