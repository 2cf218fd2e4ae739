"""The suite of tests/unit/deletion/ledger/test_ledger_reading.py, on PostgreSQL."""

from test_ledger_reading import *  # noqa: F403
