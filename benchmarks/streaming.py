"""A forget set ten times the memory budget, read and edited within the budget.

    python benchmarks/streaming.py --budget-mib 32 --selected-mib 320

Makes a git and DVC repository in a temporary folder, then measures in a fresh process: memory after
imports and a warm-up on a tiny data set, and the peak after that. Prints JSON; exits with 1 when
the peak lies more than the budget above the warm-up.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

MIB = 2**20
SHAPE = (1, 1024)
CLASSES = ("a", "b", "c")
KEY = b"benchmark"


def make_repository(root: Path, selected_mib: int) -> None:
    """A data set `data/large` whose class "a" is that large, and a tiny `data/tiny`."""
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
    for command in (
        ["git", "init", "-q", "."],
        ["git", "config", "user.email", "benchmark@example.com"],
        ["git", "config", "user.name", "benchmark"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        [sys.executable, "-m", "dvc", "config", "core.analytics", "false"],
        [sys.executable, "-m", "dvc", "add", "-q", "data/large", "data/tiny"],
        ["git", "add", "-A"],
        ["git", "commit", "-q", "-m", "data"],
    ):
        subprocess.run(command, cwd=root, check=True)


def _blocks(selected: int) -> Iterator[object]:
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


def measure(root: Path, budget: int, epochs: int) -> dict[str, float]:
    """Peak memory in this process while a forget set is resolved, probed and edited."""
    import torch

    torch.set_num_threads(1)
    forget_and_edit(root, "data/tiny", budget, epochs=1)
    before = resident()
    reset_peak()
    started = time.perf_counter()
    count = forget_and_edit(root, "data/large", budget, epochs)
    return {
        "budget_mib": budget / MIB,
        "selected_mib": count * (4 * SHAPE[1]) / MIB,
        "resident_before_mib": before / MIB,
        "peak_mib": peak() / MIB,
        "above_mib": (peak() - before) / MIB,
        "seconds": time.perf_counter() - started,
    }


def forget_and_edit(root: Path, dataset: str, budget: int, epochs: int) -> int:
    """Resolve class "a" and run both phases of the default method on it; returns its rows."""
    from lethe.data.forget_set import ForgetSpec, Selection, resolve_forget_set

    spec = ForgetSpec(dataset=dataset, selection=Selection(classes=("a",)), repository=str(root))
    forget = resolve_forget_set(spec, max_share=0.6, key=KEY)
    rows = forget.rows(split="train", part="forget", classes=CLASSES, memory_budget=budget)
    assert rows is not None
    seen = 0
    for epoch in range(epochs):
        for batch in rows.batches(128, seed=epoch):
            seen += len(batch.y)
    assert seen == epochs * forget.count
    return forget.count


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
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        found = measure(arguments.measure, arguments.budget_mib * MIB, arguments.epochs)
        print(json.dumps(found, indent=2))
        return int(found["above_mib"] > found["budget_mib"])
    with tempfile.TemporaryDirectory() as folder:
        make_repository(Path(folder), arguments.selected_mib)
        return subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--measure", folder], check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
