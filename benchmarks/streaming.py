"""A forget set ten times the memory budget, read and edited within the budget.

    python benchmarks/streaming.py --budget-mib 32 --selected-mib 320

Makes a git and DVC repository in a temporary folder, then measures in a fresh process: memory after
imports and a warm-up on a tiny data set, and the peak after that. Prints JSON; exits with 1 when
the peak lies more than the budget above the warm-up.
"""

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lethe.data.parquet import Block

MIB = 2**20
SHAPE = (1, 1024)
CLASSES = ("a", "b", "c")


def make_repository(root: Path, selected_mib: int) -> None:
    """A data set `data/large` whose class "a" is that large, and a tiny `data/tiny`."""
    from dvc.repo import Repo

    from lethe.data.info import DatasetInfo
    from lethe.data.parquet import write_parquet

    info = DatasetInfo(
        name="large",
        title="noise",
        source="made up",
        licence="none",
        citation="none",
        classes=CLASSES,
        shape=SHAPE,
        split="none",
        preprocessing="none",
    )
    rows = selected_mib * MIB // (4 * SHAPE[1])
    for name, count in (("large", rows), ("tiny", 256)):
        folder = root / "data" / name
        folder.mkdir(parents=True)
        write_parquet(folder / "train.parquet", info, _blocks(count))
    git = ["git", "-c", "user.name=benchmark", "-c", "user.email=benchmark@example.com"]
    subprocess.run([*git, "init", "-q", "."], cwd=root, check=True)
    logging.getLogger("dvc").setLevel(logging.WARNING)  # what is printed here is JSON
    with Repo.init(str(root)) as repo:
        repo.add([str(root / "data" / name) for name in ("large", "tiny")])
    for words in (["add", "-A"], ["commit", "-q", "-m", "data"]):
        subprocess.run([*git, *words], cwd=root, check=True)


def _blocks(selected: int) -> "Iterator[Block]":
    """Class "a" so many times, mixed with as many rows of the others together."""
    import numpy as np

    from lethe.data.parquet import Block

    random = np.random.Generator(np.random.PCG64(0))
    step = 2048
    for start in range(0, 2 * selected, step):
        ids = range(start, min(start + step, 2 * selected))
        labels = ["a" if i % 2 else "bc"[i // 2 % 2] for i in ids]
        x = random.standard_normal((len(labels), *SHAPE), dtype=np.float32)
        yield Block([f"row-{i:08d}" for i in ids], labels, x)


def measure(root: Path, budget: int, *, hold: bool, read_only: bool) -> dict[str, float]:
    """Peak memory in this process while a forget set is resolved, probed and edited."""
    import torch

    torch.set_num_threads(1)
    forget(root, "data/tiny", budget, read_only=read_only)
    before = resident()
    reset_peak()
    started = time.perf_counter()
    allowed = 2**40 if hold else budget
    count, epochs = forget(root, "data/large", allowed, read_only=read_only)
    return {
        "budget_mib": budget / MIB,
        "selected_mib": count * 4 * SHAPE[1] / MIB,
        "epochs": epochs,
        "resident_before_mib": before / MIB,
        "peak_mib": peak() / MIB,
        "above_mib": (peak() - before) / MIB,
        "seconds": time.perf_counter() - started,
    }


def forget(root: Path, dataset: str, budget: int, *, read_only: bool) -> tuple[int, int]:
    """Resolve class "a" and run both phases of PTE on it, or read it; returns rows and epochs."""
    import torch
    from torch import nn

    from lethe.data.forget_set import ForgetSpec, resolve_forget_set
    from lethe.data.selection import Selection
    from lethe.unlearning.method import Context, ForgetTarget, load_method

    selection = Selection(classes=("a",))
    spec = ForgetSpec(dataset=dataset, selection=selection, repository=str(root))
    found = resolve_forget_set(spec, max_share=0.6, key=b"benchmark")
    rows = found.rows(split="train", part="forget", classes=CLASSES, memory_budget=budget)
    if rows is None:
        message = "the benchmark's data set lacks class a"
        raise RuntimeError(message)
    if read_only:
        read = sum(len(batch.y) for epoch in range(2) for batch in rows.batches(64, seed=epoch))
        return read // 2, 2
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(1, 4, 64, stride=32), nn.ReLU(), nn.Flatten(), nn.Linear(124, len(CLASSES))
    ).eval()
    method = load_method("pte", {"epochs": 2, "repair_epochs": 0, "target": 0.0})
    target, context = ForgetTarget(rows, "class", (0,)), Context()
    edit = method.edit(model, target, method.probe(model, target, context), context)
    return found.count, edit.epochs


def resident() -> int:
    """Resident memory now, in bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def reset_peak() -> None:
    """Forget the peak so far (Linux), so that the peak of imports does not hide the one after."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int:
    """Peak resident memory since `reset_peak`, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> int:
    """Make the data, measure in a fresh process, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget-mib", type=int, default=32)
    parser.add_argument("--selected-mib", type=int, default=320)
    parser.add_argument(
        "--hold", action="store_true", help="hold all rows in memory, to see the measure notice"
    )
    parser.add_argument(
        "--read-only", action="store_true", help="read the rows twice, shuffled, without a method"
    )
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        found = measure(
            arguments.measure,
            arguments.budget_mib * MIB,
            hold=arguments.hold,
            read_only=arguments.read_only,
        )
        print(json.dumps(found, indent=2))
        return int(found["above_mib"] > found["budget_mib"])
    with tempfile.TemporaryDirectory() as folder:
        make_repository(Path(folder), arguments.selected_mib)
        return subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--measure", folder], check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
