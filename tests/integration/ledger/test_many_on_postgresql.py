"""The suite of tests/unit/deletion/ledger/test_ledger_many.py, on PostgreSQL."""

from test_ledger_many import *  # noqa: F403
