"""The suite of tests/unit/deletion/ledger/test_ledger_opening.py, on PostgreSQL."""

from test_ledger_opening import *  # noqa: F403
