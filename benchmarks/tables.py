"""The tables of docs/methods/pte.md, from the files in benchmarks/results.

    python benchmarks/tables.py

Prints Markdown; a test holds the page to it.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
DATA = ("digits", "cwru", "watch")


def main() -> int:
    """Print every table."""
    print(f"{class_forgetting()}\n\n{ablation()}")
    return 0


def class_forgetting() -> str:
    """One row per data set: what forgetting each class cost and how long it took."""
    head = (
        "data",
        "runs",
        "forget accuracy after, train / held-out, worst",
        "retained accuracy before / after / retrained",
        "loss, mean ± spread",
        "loss, worst",
        "time against retraining, mean / worst",
    )
    rows = []
    for name, result in _results("class_forgetting"):
        found = result["summary"]
        retained = [found[f"retained_held_out_{when}"] for when in ("before", "after", "retrained")]
        rows.append(
            (
                name,
                str(found["runs"]),
                f"{found['forget_train_max']:.1f} / {found['forget_held_out_max']:.1f} %",
                f"{' / '.join(f'{value:.2f}' for value in retained)} %",
                f"{found['retained_loss_mean']:+.2f} ± {found['retained_loss_spread']:.2f}",
                f"{found['retained_loss_worst']:+.2f}",
                f"{found['time_ratio_mean']:.2f} / {found['time_ratio_worst']:.2f}",
            )
        )
    return _table(head, rows)


def ablation() -> str:
    """One row per corner and data set."""
    head = (
        "data",
        "corner",
        "forget accuracy, held-out, mean / worst",
        "loss, mean",
        "loss, worst",
        "epochs",
    )
    rows = [
        (
            name,
            corner["corner"],
            f"{corner['forget_held_out_mean']:.1f} / {corner['forget_held_out_max']:.1f} %",
            f"{corner['retained_loss_mean']:+.2f}",
            f"{corner['retained_loss_worst']:+.2f}",
            f"{corner['epochs_mean']:.1f}",
        )
        for name, result in _results("ablation")
        for corner in result["corners"]
    ]
    return _table(head, rows)


def _results(kind: str) -> Iterable[tuple[str, Any]]:
    for name in DATA:
        path = RESULTS / f"{kind}_{name}.json"
        if path.is_file():
            yield name, json.loads(path.read_text(encoding="utf-8"))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
