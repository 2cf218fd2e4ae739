"""The tasks of the flow `benchmark`: networks and cells go to worker processes, rows to files."""

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task

from lethe.evaluation.comparison.keep import About, write_rows
from lethe.evaluation.comparison.row import Row
from lethe.evaluation.comparison.summary import summarise
from lethe.evaluation.comparison.words import title
from lethe.settings import Settings
from tasks.benchmark.jobs import CellJob, NetworkJob, cell_once, train_and_tell
from tasks.benchmark.plan import Layout, Plan
from tasks.policy import IN_MEMORY

if TYPE_CHECKING:
    from mlflow import MlflowClient

PACKAGES = ("lethe", "torch", "numpy", "scikit-learn", "pyarrow")


@dataclass(frozen=True)
class Comparison:
    """What a data set's comparison came to, and where it is kept."""

    rows: tuple[Row, ...]
    about: About
    parquet: Path
    picture: Path


@task(**IN_MEMORY)
def train_network(pool: ProcessPoolExecutor, job: NetworkJob) -> bool:
    """Train a network in a worker; whether it was kept from before."""
    return pool.submit(train_and_tell, job).result()[1]


@task(**IN_MEMORY)
def measure_cell(pool: ProcessPoolExecutor, job: CellJob) -> tuple[Row, bool]:
    """Measure a cell in a worker; its row, and whether it was kept from before."""
    return pool.submit(cell_once, job).result()


@task(**IN_MEMORY)
def keep_rows(
    settings: Settings,
    plan: Plan,
    layout: Layout,
    rows: Sequence[Row],
    *,
    out: Path,
    command: str,
    workers: int,
) -> Comparison:
    """Write a data set's rows as Parquet and draw them."""
    from lethe.evaluation.comparison.picture import pareto_plot, save_small

    about = About(
        command=command,
        **_commit(Path(settings.data.repository)),
        versions={"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        device=rows[0].device,
        cpus=os.cpu_count() or 1,
        workers=workers,
        data=layout.source.data,
        dvc_md5=layout.source.dvc_md5,
        rows_per_class=plan.rows_per_class,
        train_rows=len(layout.splits.train),
        held_out_rows=len(layout.splits.held_out),
        recipe=layout.source.recipe.model_dump(mode="json"),
        seeds=plan.seeds,
        budget=plan.budget,
        feature_level=plan.feature_level,
    )
    name = file_name(plan, layout.source.data)
    parquet, picture = out / f"{name}.parquet", out / f"{name}.png"
    write_rows(parquet, rows, about)
    save_small(pareto_plot(summarise(rows), title(about, plan.kind)), picture)
    return Comparison(tuple(rows), about, parquet, picture)


@task(**IN_MEMORY)
def log_comparison(
    settings: Settings, client: "MlflowClient", parent: str, plan: Plan, made: Comparison
) -> None:
    """Log a data set's rows: a child run per method and seed, tables and files to the parent."""
    from model_registry.comparison_run import log_child, log_file
    from model_registry.run import log_metrics

    figures: dict[str, float] = {}
    data = made.about.data
    for line in summarise(made.rows):
        for name in ("gap", "forget_gap", "retained_gap", "retained_loss", "time_share"):
            found = getattr(line, name)
            if found is not None and line.needs:
                figures[f"{data}/{line.method}/{name}"] = found.mean
    log_metrics(client, parent, figures)
    for path in (made.parquet, made.picture):
        log_file(client, parent, path)
    for method in plan.chosen:
        for seed in range(plan.seeds):
            rows = [row for row in made.rows if (row.method, row.seed) == (method, seed)]
            log_child(client, settings, parent, rows)


def file_name(plan: Plan, data: str) -> str:
    """Name of a comparison's files: what sets it apart from the usual one stands in it."""
    words = ["comparison", data]
    words += ["people"] if plan.kind == "subject" else []
    words += [_value(plan.recipe[key], key) for key in sorted(plan.recipe)]
    words += [f"{plan.rows_per_class}_per_class"] if plan.rows_per_class else []
    words += [f"budget_{plan.budget}"] if plan.budget else []
    return "_".join(words)


def _value(value: object, key: str) -> str:
    """A changed setting of the recipe in a file's name; a network by its function's name."""
    if key == "network":
        return str(value).rpartition(":")[2]
    return re.sub(r"[^A-Za-z0-9.]+", "_", f"{key}_{value}").strip("_")


def plan_key(layouts: Sequence[Layout]) -> str:
    """Digest of all cells: the same comparison of the same data by the same code."""
    keys = [cell.key for layout in layouts for cell in layout.cells]
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def _commit(repository: Path) -> dict[str, str | bool]:
    """The commit that is checked out, and whether code differs from it."""

    def git(*words: str) -> str:
        done = subprocess.run(  # noqa: S603 (fixed command)
            ["git", "-C", str(repository), *words],  # noqa: S607 (found by the path, as DVC does)
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    folders = ("lethe", "tasks", "flows", "params.yaml")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *folders)
    return {"git_commit": git("rev-parse", "HEAD"), "changed": bool(changed)}


def cell_name(job: CellJob) -> str:
    """What a cell is called in Prefect."""
    return f"{job.source.data}-{job.way.method}-{job.target.kind}-{job.target.index}-{job.seed}"


def network_name(job: NetworkJob) -> str:
    """What a network is called in Prefect."""
    left_out = "" if job.without is None else f"-without-{job.without.kind}-{job.without.index}"
    return f"{job.source.data}-{job.seed}{left_out}"
