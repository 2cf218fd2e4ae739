"""Time of `deletion-requests` by the number of requests, and by the rows that are to be forgotten.

    python benchmarks/batches.py

Makes a project of its own in a temporary folder: identities in Gaussian clusters under git and DVC,
a small network trained on them and registered by the flow `train`, ledger and registry on SQLite.
Half of the identities are then forgotten, in two series. In one the rows stay the same and are
asked for by 1 to 1,000 requests; in the other 1,000 requests ask for more and more rows. Each run
is on a fresh copy of the project, so that each one edits version 1. Runs are repeated in turn, and
ratios are taken within one turn.

`seconds` is the whole flow. `computing` is what the run's record says of probe, edit and
evaluation; `overhead` is all the rest: weighing, claiming, resolving, telling requests apart,
registering, report, statement, concluding, settling. Filing the requests comes before the flow and
is given apart. Writes results/batches.json and docs/images/batches.png; exits with 1 when a run
makes more or fewer than one successor, when a request lacks an outcome, or when a bar is missed.
"""

import argparse
import contextlib
import json
import logging
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from batches_summary import draw, summarise

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "batches.json"
PICTURE = ROOT / "docs" / "images" / "batches.png"
REQUESTS = (1, 10, 100, 1_000)
ROWS_PER_IDENTITY = (4, 8, 12, 16)
USUAL_ROWS = 4
HELD_OUT = 3
DIMENSIONS = 64
WIDTH = 256
NOISE = 0.25  # of a cluster, whose centre is drawn with a standard deviation of 1
RECIPE = {"epochs": 12, "batch_size": 512, "learning_rate": 0.01}
# With the method's defaults, 30 anchors for each of 1,000 retained classes take most of the time.
OPTIONS = {"anchors_per_class": 4, "batch_size": 512, "bank_rows": 1_000}
# The network's factory is in this file.
ENVIRONMENT = {
    "LETHE_DEVICE": "cpu",
    "LETHE_MODELS__FACTORIES": '["batches"]',
    "LETHE_UNLEARNING__OPTIONS": json.dumps(OPTIONS),
}
# Longest that 1,000 requests may take, as a multiple of one request for the same rows.
BAR_RATIO = 2.0
# Steps whose time is told apart, by the module that calls them.
STEPS = {
    "flows.deletion_requests": ("weigh_requests", "claim_next", "settle", "answer"),
    "flows.carry_out": (
        "pull_parent",
        "look_back",
        "conclude_covered",
        "resolve_forget_set",
        "find_done",
        "probe",
        "push_pull",
        "measure",
        "measure_requests",
        "register_successor",
        "conclude_registered",
    ),
}


def main() -> int:
    """Measure, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identities", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--requests", type=int, nargs="+", default=REQUESTS)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS_PER_IDENTITY)
    parser.add_argument("--no-write", action="store_true", help="leave result and picture alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lethe-batches-") as folder:
        prepare(Path(folder))
        runs = measure_all(Path(folder), arguments)
    result = facts(arguments) | summarise(runs, BAR_RATIO)
    shown = {name: value for name, value in result.items() if name != "runs"}
    print(json.dumps(shown, indent=2))
    if not arguments.no_write:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        draw(result["points"], PICTURE)
    return int(bool(result["missed"]))


def facts(arguments: argparse.Namespace) -> dict[str, Any]:
    """On what it is measured."""
    return {
        "command": "python benchmarks/batches.py",
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform()},
        "data": {
            "identities": arguments.identities,
            "forgotten": arguments.identities // 2,
            "held_out_rows_per_identity": HELD_OUT,
            "dimensions": DIMENSIONS,
        },
        "settings": {
            "device": "cpu",
            "threads": 1,
            "unlearning.options": OPTIONS,
            "gates": "defaults; a class of 3 held-out rows is judged only if it loses all of them",
            "data.max_share": "default, 0.5: just what is asked for",
        },
        "repeats": arguments.repeats,
    }


def measure_all(folder: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every run of both series, in turns."""
    forgotten = arguments.identities // 2
    bases = {
        rows: make_project(folder / f"base-{rows}", arguments.identities, rows)
        for rows in sorted({USUAL_ROWS, *arguments.rows})
    }
    points = [(USUAL_ROWS, count) for count in arguments.requests]
    points += [(rows, max(arguments.requests)) for rows in arguments.rows]
    points = list(dict.fromkeys(points))
    run_once(bases[USUAL_ROWS], folder / "warm", forgotten, 1)  # imports, server, first use
    found = []
    for turn in range(arguments.repeats):
        for rows, count in points:
            copy = folder / f"copy-{turn}-{rows}-{count}"  # MLflow keeps a connection per path
            run = run_once(bases[rows], copy, forgotten, count)
            found.append({"turn": turn, "rows_per_identity": rows, "requests": count, **run})
            print(json.dumps(found[-1]), flush=True)
    return found


def prepare(folder: Path) -> None:
    """Prefect's state into the temporary folder; its server serves all runs."""
    for name in [name for name in os.environ if name.startswith("LETHE_")]:
        del os.environ[name]
    sys.path.insert(0, str(ROOT))
    from cli.environment import prepare_environment
    from lethe.settings import Settings

    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    os.environ |= ENVIRONMENT
    prepare_environment(Settings(home=folder))
    import torch

    torch.set_num_threads(1)


def make_project(folder: Path, identities: int, rows: int) -> Path:
    """A project with `identities` registered as champion; `rows` training rows per identity."""
    import yaml
    from dvc.repo import Repo

    from lethe.data.parquet import write_dataset

    names = [f"identity-{number:04}" for number in range(identities)]
    info, splits = make_data(names, rows)
    write_dataset(folder / "data" / "identities", info, splits)
    recipe = {
        "network": "batches:mlp",
        "network_kwargs": {"classes": identities},
        **RECIPE,
    }
    params = {"train": {"identities": recipe}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (folder / ".gitignore").write_text(".lethe/\n", encoding="utf-8")
    git = ["git", "-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main", "."], cwd=folder, check=True)
    logging.getLogger("dvc").setLevel(logging.WARNING)
    Repo.init(str(folder)).close()
    remote = folder / ".lethe" / "dvc-remote"
    (folder / ".dvc" / "config").write_text(
        f"[core]\n    analytics = false\n    remote = local\n"
        f"['remote \"local\"']\n    url = {remote}\n",
        encoding="utf-8",
    )
    with Repo(str(folder)) as repo:
        repo.add(str(folder / "data" / "identities"))
        repo.push()
    for words in (["add", "-A"], ["commit", "-q", "-m", "data"]):
        subprocess.run([*git, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    from flows.train import train

    with contextlib.chdir(folder):
        trained = train("identities")
    print(f"{rows} rows per identity: held-out accuracy {trained.accuracy:.4f}", flush=True)
    return folder


def run_once(base: Path, folder: Path, forgotten: int, count: int) -> dict[str, Any]:
    """File `count` requests for the first `forgotten` identities in a copy, and carry them out."""
    copy_project(base, folder)
    try:
        with contextlib.chdir(folder):
            return process([f"identity-{i:04}" for i in range(forgotten)], count)
    finally:
        shutil.rmtree(folder)


def process(names: Sequence[str], count: int) -> dict[str, Any]:
    """File and carry out; what it took and what came out."""
    from flows.deletion_requests import deletion_requests
    from lethe.settings import load_settings
    from model_registry import tags
    from model_registry.connection import connect
    from tasks.desk import open_desk

    settings = load_settings()
    started = time.perf_counter()
    with open_desk(settings) as desk:
        ids = file_all(desk, [names[i::count] for i in range(count)])
    filing = time.perf_counter() - started
    with clocked() as steps:
        started, cpu_started = time.perf_counter(), time.process_time()
        result = deletion_requests()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    client = connect(settings)
    versions = client.search_model_versions("name = 'identities'")
    with open_desk(settings) as desk:
        done = desk.ledger.find(limit=count + 1)
    metrics: dict[str, float] = {}
    if result.batches and result.batches[0].run_id:
        metrics = client.get_run(result.batches[0].run_id).data.metrics
    parts = {k.removeprefix(tags.SECONDS): v for k, v in metrics.items() if tags.SECONDS in k}
    computing = sum(parts.values())
    accuracies = [entry.facts.forget_accuracy for entry in done]
    return {
        "rows": sum(entry.facts.rows or 0 for entry in done),
        "batches": len(result.batches),
        "successors": len(versions) - 1,
        "completed": sum(entry.state == "completed" for entry in done if entry.id in ids),
        "worst_forget_accuracy": max((a for a in accuracies if a is not None), default=None),
        "errors": [batch.error for batch in result.batches if batch.error],
        "seconds": round(seconds, 3),
        "cpu": round(cpu, 3),
        "computing": round(computing, 3),
        "overhead": round(seconds - computing, 3),
        "filing": round(filing, 3),
        "parts": {name: round(value, 3) for name, value in parts.items()},
        "steps": {name: round(value, 3) for name, value in steps.items()},
    }


def file_all(desk: Any, groups: Sequence[Sequence[str]]) -> set[str]:
    """One request per group of classes, as the policy judges them."""
    from datetime import UTC, datetime

    from lethe.data.forget_spec import ForgetSpec
    from lethe.data.selection import Selection
    from lethe.deletion.policy.judge import judge
    from lethe.deletion.request import DeletionRequest

    filed = set()
    for group in groups:
        spec = ForgetSpec(dataset="data/identities", selection=Selection(classes=tuple(group)))
        request = DeletionRequest(model="identities@champion", forget=spec)
        judgement = judge(desk.policy, request, now=datetime.now(UTC))
        filed.add(desk.ledger.file(request, judgement, actor="benchmark").id)
    return filed


def mlp(*, classes: int) -> Any:
    """The network of the identities: (B, 64) float32 to logits (B, classes)."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(DIMENSIONS, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, classes),
    )


def make_data(names: Sequence[str], rows: int) -> tuple[Any, dict[Any, Any]]:
    """A cluster per identity: facts, and a block per split, in the order of the identities.

    Data sets with more rows per identity have the same clusters.
    """
    from lethe.data.info import DatasetInfo
    from lethe.data.parquet import Block

    centres = np.random.default_rng(0).normal(size=(len(names), DIMENSIONS))
    facts = dict.fromkeys(("name", "title", "source", "licence", "citation"), "made up")
    info = DatasetInfo(
        **facts, classes=tuple(names), shape=(DIMENSIONS,), split="random", preprocessing="none"
    )
    splits = {}
    for seed, (split, each) in enumerate({"train": rows, "test": HELD_OUT}.items(), 1):
        noise = np.random.default_rng(seed).normal(size=(len(names), each, DIMENSIONS))
        inputs = (centres[:, None] + NOISE * noise).reshape(-1, DIMENSIONS).astype(np.float32)
        labels = [name for name in names for _ in range(each)]
        ids = [f"{split}-{number}" for number in range(len(labels))]
        splits[split] = Block(ids, labels, inputs)
    return info, splits


def copy_project(base: Path, folder: Path) -> None:
    """A copy in which the registry, which keeps absolute paths, points at the copy."""
    shutil.copytree(base, folder, symlinks=True)
    columns = (
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
        ("model_versions", "storage_location"),
        ("model_versions", "source"),
    )
    with contextlib.closing(sqlite3.connect(folder / ".lethe" / "mlflow.db")) as db, db:
        for table, column in columns:
            db.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",  # noqa: S608 (fixed names)
                (str(base), str(folder)),
            )


@contextlib.contextmanager
def clocked() -> Iterator[dict[str, float]]:
    """Seconds spent in each step that is called while the block lasts."""
    import importlib

    seconds: dict[str, float] = {}
    replaced = []

    def timed(name: str, step: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return step(*arguments, **options)
            finally:
                seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started

        return call

    for module_name, names in STEPS.items():
        module = importlib.import_module(module_name)
        for name in names:
            step = getattr(module, name)
            replaced.append((module, name, step))
            setattr(module, name, timed(name, step))
    try:
        yield seconds
    finally:
        for module, name, step in replaced:
            setattr(module, name, step)


if __name__ == "__main__":
    sys.exit(main())
