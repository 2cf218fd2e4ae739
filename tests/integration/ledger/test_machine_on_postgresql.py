"""The ledger against its model: anything in any order, with crashes, on PostgreSQL."""

from hypothesis.stateful import run_state_machine_as_test
from ledger_machine import LedgerMachine
from test_ledger_machine import MODEST


def test_the_ledger_holds_what_the_model_holds_whatever_is_done(emptied):
    class OnPostgresql(LedgerMachine):
        def fresh(self):
            return emptied()

    run_state_machine_as_test(OnPostgresql, settings=MODEST)
