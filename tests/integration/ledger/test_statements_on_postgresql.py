"""The suite of tests/unit/deletion/ledger/test_ledger_statements.py, on PostgreSQL."""

from test_ledger_statements import *  # noqa: F403
