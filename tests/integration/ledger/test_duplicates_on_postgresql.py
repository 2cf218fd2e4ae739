"""The suite of tests/unit/deletion/ledger/test_ledger_duplicates.py, on PostgreSQL."""

from test_ledger_duplicates import *  # noqa: F403
