"""The suite of tests/unit/deletion/ledger/test_ledger_waits.py, on PostgreSQL."""

from test_ledger_waits import *  # noqa: F403
