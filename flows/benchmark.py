# # Compare methods with each other and with retraining
#
#     lethe benchmark --data digits,cwru --seeds 3
#
# Data sets x requests x methods x seeds. Networks are trained first, once each, then every cell
# is measured; both are tasks that hand their work to processes. What was made before is not made
# again, also after a kill.
"""The flow `benchmark`: train what is compared, measure every cell, keep rows and picture."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ThreadPoolTaskRunner

from lethe.errors import MethodError
from lethe.evaluation.comparison.row import Row
from lethe.settings import load_settings
from model_registry.comparison_run import comparison_run
from model_registry.connection import connect
from tasks.benchmark.plan import Layout, Plan, check_plan, lay_out
from tasks.benchmark.steps import (
    Comparison,
    cell_name,
    keep_rows,
    log_comparison,
    measure_cell,
    network_name,
    plan_key,
    train_network,
)
from tasks.benchmark.workers import workers
from tasks.progress import progress

AHEAD = 8  # tasks that wait for a worker, so that none stands idle


# Prefect's decorator asks for a runner of the abstract future, which no runner is.
RUNNER: Any = ThreadPoolTaskRunner(max_workers=AHEAD)


@flow(name="benchmark", task_runner=RUNNER, persist_result=False)
def benchmark(
    plan: Plan, out: str, command: str = "lethe benchmark", processes: int = 1
) -> list[Comparison]:
    """Carry out a plan.

    Args:
        plan: what is compared.
        out: folder for the Parquet file and the picture of each data set.
        command: what started this, for the record.
        processes: cells that are measured at a time.

    Raises:
        LetheError: if the plan cannot be carried out; nothing was computed.
        MethodError: if a cell could not be measured; all others are kept.
    """
    settings = load_settings()
    check_plan(plan)
    layouts = [lay_out(settings, plan, data) for data in dict.fromkeys(plan.data)]
    client = connect(settings)
    name = f"benchmark {', '.join(plan.data)}"
    key = plan_key(layouts)
    with comparison_run(client, settings, key=key, name=name, command=command) as run_id:
        found = _measure(layouts, processes)
        made = []
        for layout, rows in zip(layouts, found, strict=True):
            made.append(
                keep_rows(
                    settings, plan, layout, rows,
                    out=Path(out), command=command, workers=processes,
                )
            )  # fmt: skip
            log_comparison(settings, client, run_id, plan, made[-1])
    return made


def _measure(layouts: list[Layout], processes: int) -> list[list[Row]]:
    """The rows of each data set, in the order of its cells."""
    with workers(processes) as pool:
        networks = [
            train_network.with_options(task_run_name=network_name(job)).submit(pool, job)
            for layout in layouts
            for job in layout.networks
        ]
        _finished("Training", networks)
        cells = [
            [
                measure_cell.with_options(task_run_name=cell_name(job)).submit(pool, job)
                for job in layout.cells
            ]
            for layout in layouts
        ]
        _finished("Measuring", [future for futures in cells for future in futures])
        return [[future.result()[0] for future in futures] for futures in cells]


def _finished(step: str, futures: list[PrefectFuture[Any]]) -> None:
    """Wait for all, showing how many are done; then refuse to go on if one failed."""
    with progress(step) as report:
        report(0, len(futures))
        for done, future in enumerate(as_completed(futures), start=1):
            future.wait()  # takes its state over, which the server may hear of later
            report(done, len(futures))
    failed = [future.state for future in futures if not future.state.is_completed()]
    if failed:
        raise MethodError(
            f"{step}: {len(failed)} of {len(futures)} steps failed, the first with: "
            f"{failed[0].message}. No table was written; the others are kept. Mend what is wrong "
            f"and give the same command again."
        )
