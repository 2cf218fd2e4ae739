"""Fixtures of the suite that runs on every database; `ledger_url` says on which."""

import pytest
from ledger_tools import KEY, Announced, Clock

from lethe.deletion.ledger.ledger import open_ledger


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def announced():
    return Announced()


@pytest.fixture
def opened(ledger_url, clock):
    """Opens the test's ledger, as often as it is called: each time like a process of its own."""
    ledgers = []

    def open_one(**changes):
        ledgers.append(open_ledger(ledger_url, **{"key": KEY, "clock": clock, **changes}))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(opened):
    return opened()
