"""The ledger against its model: anything in any order, with crashes (`ledger_machine`)."""

import shutil
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from ledger_machine import LedgerMachine

MODEST = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    # A run is several seconds of a database's work: shrinking one takes longer than reading it.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_ledger_holds_what_the_model_holds_whatever_is_done(template, tmp_path):
    class OnSqlite(LedgerMachine):
        def fresh(self):
            path = tmp_path / "ledger.db"
            for old in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                old.unlink(missing_ok=True)
            shutil.copy(template, path)
            return f"sqlite:///{path}"

    run_state_machine_as_test(OnSqlite, settings=MODEST)
