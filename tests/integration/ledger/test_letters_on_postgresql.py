"""The suite of tests/unit/deletion/ledger/test_ledger_letters.py, on PostgreSQL."""

from test_ledger_letters import *  # noqa: F403
