"""Time to weigh, merge, resolve and tell apart many deletion requests, without any network.

    python benchmarks/many_selections.py

Makes a git and DVC repository with one large data set in a temporary folder. One series holds the
rows to forget fixed and spreads them over 1 to 1,000 requests, by sample ids, by subjects, and by a
mixture with conjunctions; the other holds 1,000 requests fixed and grows the rows. For contrast,
ten requests are also resolved one by one. Every figure is the best of some repetitions. Exits with
1 when 1,000 requests take more than twice as long as one for the same rows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lethe.data.parquet import Block
    from lethe.data.selection import Selection

RESULT = Path(__file__).parent / "results" / "many_selections.json"
DATASET = "data/many"
CLASSES = tuple("abcdefghij")
PER_SUBJECT = 10
BAR = 2.0
FIXED_ROWS = 1_000
FIXED_REQUESTS = 1_000
REQUESTS = (1, 10, 100, 1_000)
GROWING_ROWS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000)


def make_repository(root: Path, rows: int) -> None:
    """A data set of that many rows, ten per subject, in ten classes, in a commit."""
    from lethe.data.info import DatasetInfo
    from lethe.data.parquet import write_parquet

    facts = dict.fromkeys(("name", "title", "source", "licence", "citation"), "made up")
    info = DatasetInfo(**facts, classes=CLASSES, shape=(8,), split="none", preprocessing="none")
    folder = root / DATASET
    folder.mkdir(parents=True)
    write_parquet(folder / "train.parquet", info, _blocks(rows))
    for command in (
        ["git", "init", "-q", "."],
        ["git", "config", "user.email", "benchmark@example.com"],
        ["git", "config", "user.name", "benchmark"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        [sys.executable, "-m", "dvc", "config", "core.analytics", "false"],
        [sys.executable, "-m", "dvc", "add", "-q", DATASET],
        ["git", "add", "-A"],
        ["git", "commit", "-q", "-m", "data"],
    ):
        subprocess.run(command, cwd=root, check=True)


def _blocks(rows: int) -> "Iterator[Block]":
    import numpy as np

    from lethe.data.parquet import Block

    for start in range(0, rows, 8192):
        ids = range(start, min(start + 8192, rows))
        yield Block(
            [f"row-{i:09d}" for i in ids],
            [CLASSES[i * 7919 % 10] for i in ids],
            np.zeros((len(ids), 8), np.float32),
            [f"subject-{i // PER_SUBJECT:08d}" for i in ids],
        )


def by_samples(requests: int, rows: int, total: int) -> "list[Selection]":
    """Rows spread evenly over the data set, dealt out to the requests."""
    from lethe.data.selection import Selection

    ids = [f"row-{i:09d}" for i in range(0, total, total // rows)][:rows]
    return [Selection(samples=tuple(ids[at::requests])) for at in range(requests)]


def by_subjects(requests: int, rows: int, total: int) -> "list[Selection]":
    """Subjects spread evenly, dealt out; where there are fewer, several requests name the same."""
    from lethe.data.selection import Selection

    subjects, people = total // PER_SUBJECT, rows // PER_SUBJECT
    ids = [f"subject-{i:08d}" for i in range(0, subjects, subjects // people)][:people]
    return [Selection(subjects=tuple(ids[at % people :: requests])) for at in range(requests)]


def mixed(requests: int, rows: int, total: int) -> "list[Selection]":
    """Every other request names its rows' classes as well: a conjunction."""
    from lethe.data.selection import Selection

    return [
        Selection(samples=one.samples, classes=CLASSES) if at % 2 else one
        for at, one in enumerate(by_samples(requests, rows, total))
    ]


def measure(root: Path, selections: "list[Selection]", repeat: int) -> dict[str, Any]:
    """Seconds of each step, for one batch of requests."""
    from lethe.data.attribution import owners, weigh_selections
    from lethe.data.forget_set import ForgetSpec, resolve_forget_set
    from lethe.data.union import merge

    def resolve() -> Any:
        spec = ForgetSpec(repository=str(root), dataset=DATASET, selection=merge(selections))
        return resolve_forget_set(spec, max_share=0.9, key=b"benchmark", missing_ok=True)

    weigh, weights = best(repeat, lambda: weigh_selections(str(root), DATASET, "HEAD", selections))
    resolving, forget = best(repeat, resolve)
    attributing, found = best(repeat, lambda: owners(forget, selections))
    return {
        "requests": len(selections),
        "rows": forget.count,
        "pairs": len(found.row),
        "asked": sum(one.rows for one in weights.each),
        "weigh_s": round(weigh, 4),
        "resolve_s": round(resolving, 4),
        "owners_s": round(attributing, 4),
        "total_s": round(weigh + resolving + attributing, 4),
    }


def one_by_one(root: Path, selections: "list[Selection]") -> float:
    """Seconds to resolve each request for itself."""
    from lethe.data.forget_set import ForgetSpec, resolve_forget_set

    started = time.perf_counter()
    for selection in selections:
        spec = ForgetSpec(repository=str(root), dataset=DATASET, selection=selection)
        resolve_forget_set(spec, max_share=0.9, key=b"benchmark")
    return time.perf_counter() - started


def best(repeat: int, work: Callable[[], Any]) -> tuple[float, Any]:
    """Shortest time of some repetitions, and the last result."""
    times, result = [], None
    for _ in range(repeat):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return min(times), result


def main() -> int:
    """Make the data, measure both series, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the data set")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()
    total, repeat = arguments.rows, arguments.repeat
    kinds = {"samples": by_samples, "subjects": by_subjects, "mixed": mixed}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_repository(root, total)
        measure(root, by_samples(1, 10, total), 1)  # imports and DVC's first use
        series = [
            {
                "name": f"fixed rows, {name}",
                "x": "requests",
                "points": [
                    measure(root, make(count, FIXED_ROWS, total), repeat) for count in REQUESTS
                ],
            }
            for name, make in kinds.items()
        ]
        series.append(
            {
                "name": "fixed requests, samples",
                "x": "rows",
                "points": [
                    measure(root, by_samples(FIXED_REQUESTS, count, total), repeat)
                    for count in GROWING_ROWS
                    if 2 * count <= total
                ],
            }
        )
        contrast = one_by_one(root, by_samples(10, FIXED_ROWS, total))
    ratios = {
        one["name"]: round(one["points"][-1]["total_s"] / one["points"][0]["total_s"], 2)
        for one in series
        if one["x"] == "requests"
    }
    result = {
        "command": "python benchmarks/many_selections.py",
        "cpus": os.cpu_count(),
        "dataset_rows": total,
        "bar_ratio": BAR,
        "ratio_1000_requests_to_1": ratios,
        "ten_requests_one_by_one_s": round(contrast, 4),
        "series": series,
    }
    print(json.dumps(result, indent=2))
    if not arguments.no_write:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(max(ratios.values()) > BAR)


if __name__ == "__main__":
    sys.exit(main())
