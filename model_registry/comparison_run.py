"""The MLflow runs of a comparison: one parent, and a child per data set, method and seed."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from lethe.evaluation.comparison.row import Row
from lethe.settings import Settings
from model_registry import tags
from model_registry.connection import experiment_id
from model_registry.run import log_metrics, log_params

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT = "mlflow.parentRunId"
FIGURES = (
    *("gap", "gap_forget_train", "gap_retained_train", "gap_retained_held_out"),
    *("after_forget_train", "after_forget_held_out", "after_retained_held_out"),
    *("retained_loss", "worst_class_loss", "membership_after", "membership_retrained"),
    *("seconds", "cpu_seconds", "time_ratio", "cpu_ratio", "search_seconds"),
)


@contextmanager
def comparison_run(
    client: "MlflowClient", settings: Settings, *, key: str, name: str, command: str
) -> Iterator[str]:
    """Give the id of the parent run, and close it when the block ends.

    One of the same key that did not finish, since it failed or was killed, is taken up again.
    """
    experiment = experiment_id(client, settings)
    same = client.search_runs([experiment], f"tags.`{tags.COMPARISON}` = '{key}'")
    open_ones = [run for run in same if run.info.status != "FINISHED"]
    if open_ones:
        run_id = str(open_ones[0].info.run_id)
        client.update_run(run_id, status="RUNNING")
    else:
        given = {tags.COMPARISON: key, tags.COMMAND: command}
        run_id = str(client.create_run(experiment, run_name=name, tags=given).info.run_id)
    try:
        yield run_id
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")


def log_child(
    client: "MlflowClient", settings: Settings, parent: str, rows: Sequence[Row]
) -> str | None:
    """A run for one method and seed on one data set: means over its requests; None without rows.

    One that the parent has already stays as it is.
    """
    if not rows:
        return None
    one = rows[0]
    name = f"{one.data} {one.method} seed {one.seed}"
    experiment = experiment_id(client, settings)
    known = client.search_runs(
        [experiment], f"tags.`{PARENT}` = '{parent}' and attributes.run_name = '{name}'"
    )
    done = [run for run in known if run.info.status == "FINISHED"]
    if done:
        return str(done[0].info.run_id)
    given = {PARENT: parent, tags.METHOD: one.method}
    run = client.create_run(experiment, run_name=name, tags=given)
    run_id = str(run.info.run_id)
    options = json.loads(one.options) if one.budget < 2 else {}  # a search finds others each time
    facts = {"data": one.data, "seed": one.seed, "needs": one.needs, "budget": one.budget}
    log_params(client, run_id, facts | options)
    means = {
        figure: fmean(known)
        for figure in FIGURES
        if (known := [v for row in rows if (v := getattr(row, figure)) is not None])
    }
    failed = sum(row.failed is not None for row in rows)
    log_metrics(client, run_id, means | {"requests": len(rows), "failed": failed})
    client.set_terminated(run_id)
    return run_id


def log_file(client: "MlflowClient", run_id: str, path: Path) -> None:
    """Log a file as an artifact."""
    client.log_artifact(run_id, str(path))
