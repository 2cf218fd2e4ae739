"""The suite of tests/unit/deletion/ledger/test_ledger_filing.py, on PostgreSQL."""

from test_ledger_filing import *  # noqa: F403
