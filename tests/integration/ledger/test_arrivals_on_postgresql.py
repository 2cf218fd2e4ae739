"""The suite of tests/unit/deletion/ledger/test_ledger_arrivals.py, on PostgreSQL."""

from test_ledger_arrivals import *  # noqa: F403
