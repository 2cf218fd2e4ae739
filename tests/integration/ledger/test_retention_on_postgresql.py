"""The suite of tests/unit/deletion/ledger/test_ledger_retention.py, on PostgreSQL."""

from test_ledger_retention import *  # noqa: F403
