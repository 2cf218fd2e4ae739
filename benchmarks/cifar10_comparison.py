"""CIFAR-10 with ResNet-18: the table of `lethe benchmark`, on an accelerator.

    PYTHONPATH=. python3 benchmarks/cifar10_comparison.py --data cifar10.npz --out rows.json
    python benchmarks/cifar10_comparison.py --keep rows.json        # Parquet and picture, here
    PYTHONPATH=. python3 benchmarks/cifar10_comparison.py --tiny --out rows.json     # any machine

The first needs PyTorch, NumPy, pydantic, scikit-learn and safetensors alone. Data, training and
warming up are those of `benchmarks/cifar10.py`; the cells those of `lethe benchmark`. Requests go
by seed, then class, then method, and what no longer fits into `--seconds` is left out and named;
every row is written at once, and a row that is in the file already is not measured again.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from cifar10 import read_recipe, warm_up
from cifar10_data import CLASSES, invented, on_cpu, on_device, read
from cifar10_steps import Run, trained

from lethe.evaluation.comparison.row import RETRAIN, Row
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.results import FORGET_PARTS, Part
from lethe.models.training import new_network
from tasks.benchmark.cell import Case, Reference, Way, device_name, measure

ROOT = Path(__file__).resolve().parent.parent
METHODS = (
    "pte,retrain,delete,boundary_shrink,gradient_ascent,random_labels,salun_forget_only,imu,jit,"
    "boundary_expand,l2ul"
)
AGAIN = 1000


def main() -> int:
    """Measure, or turn what was measured into Parquet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "cifar10")
    parser.add_argument("--out", type=Path, default=Path("rows.json"))
    parser.add_argument("--keep", type=Path, help="rows to write as Parquet; measures nothing")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--classes", default="airplane,cat,truck")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=480, help="for everything")
    parser.add_argument("--cell-seconds", type=float, default=25, help="that a cell may take")
    parser.add_argument("--no-feature-level", action="store_true")
    parser.add_argument("--commit", default="", help="of the code, where git is not")
    parser.add_argument("--tiny", action="store_true", help="invented pictures, a narrow network")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        return keep(arguments.keep, arguments.results)
    run = prepare(arguments)
    if run.device.type == "cuda":
        warm_up(run)
    kept = known(arguments.out)
    rows = {(row["method"], row["target"], row["seed"]): row for row in kept.get("rows", [])}
    facts = about(run, arguments)
    left_out: list[str] = []
    for seed in range(arguments.seeds):
        one_seed(run, arguments, seed, rows=rows, facts=facts, left_out=left_out)
    print(json.dumps({"cells": len(rows), "left_out": left_out}))
    return 0


def prepare(arguments: argparse.Namespace) -> Run:
    """Data and device, as `benchmarks/cifar10.py` has them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = read_recipe()
    if arguments.tiny:
        tiny = {"network_kwargs": {"width": 4}, "epochs": 2, "batch_size": 32}
        recipe = recipe.model_copy(update=tiny)
    x, y, x_test, y_test = invented(size=8) if arguments.tiny else read(arguments.data)
    return Run(
        device=device,
        train=on_device(x, y, device, augment=True),
        held_out=on_device(x_test, y_test, device, augment=False),
        recipe=recipe,
        bfloat16=device.type == "cuda",
        seconds=arguments.seconds,
        method_seconds=arguments.cell_seconds,
        options={},
        out=None,
    )


def one_seed(
    run: Run,
    arguments: argparse.Namespace,
    seed: int,
    *,
    rows: dict[Any, Any],
    facts: dict[str, Any],
    left_out: list[str],
) -> None:
    """All classes and methods of one seed, as far as time allows."""
    names, methods = arguments.classes.split(","), arguments.methods.split(",")
    wanted = [(m, n, seed) for n in names for m in methods if (m, n, seed) not in rows]
    if not wanted:
        return
    took = 60.0 if run.device.type == "cuda" else 0.0
    if took * 2 > run.left:
        left_out.append(f"seed {seed}: {run.left:.0f} s left")
        return
    original, took = trained(run, run.train, seed)
    for name in names:
        mine = [method for method, label, _ in wanted if label == name]
        needed = took * (1 + (RETRAIN in mine)) + arguments.cell_seconds
        if not mine or needed > run.left:
            left_out += [f"{name}, seed {seed}: {run.left:.0f} s left"] if mine else []
            continue
        case = case_of(run, original, CLASSES.index(name), seed)
        for method in mine:
            if arguments.cell_seconds > run.left:
                left_out.append(f"{method}, {name}, seed {seed}: {run.left:.0f} s left")
                continue
            started = time.perf_counter()
            found = measure(
                case, Way(method), GateThresholds(),
                feature_level=not arguments.no_feature_level,
            )  # fmt: skip
            rows[method, name, seed] = asdict(found)
            write(arguments.out, {"about": facts, "rows": list(rows.values()), "left": left_out})
            print(said(found, time.perf_counter() - started), flush=True)


def case_of(run: Run, original: torch.nn.Module, gone: int, seed: int) -> Case:
    """A class of CIFAR-10: networks retrained without it, and its four parts on the CPU."""

    def retrained(with_seed: int) -> Reference:
        started = time.process_time()
        model, seconds = trained(run, run.train.chosen(run.train.y != gone), with_seed)
        return Reference(model, seconds, time.process_time() - started)

    parts = {
        part: on_cpu(rows, (rows.y == gone) if part in FORGET_PARTS else (rows.y != gone))
        for part, rows in zip(Part, (run.train, run.held_out) * 2, strict=True)
    }
    return Case(
        data="cifar10",
        kind="class",
        target=CLASSES[gone],
        forgotten=(gone,),
        seed=seed,
        classes=CLASSES,
        parts=parts,
        original=original,
        retrained=retrained(seed),
        retrained_again=lambda: retrained(seed + AGAIN),
        fresh=new_network(run.recipe, seed=seed + 2000).eval(),
        device=run.device,
    )


def about(run: Run, arguments: argparse.Namespace) -> dict[str, Any]:
    """What made the rows; the commit is given where the code was carried without git."""
    shown = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return {
        "command": shlex.join(["python", "benchmarks/cifar10_comparison.py", *shown]),
        "git_commit": arguments.commit or commit(),
        "changed": False,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "device": device_name(run.device),
        "cpus": os.cpu_count() or 1,
        "workers": 1,
        "data": "cifar10",
        "dvc_md5": "",
        "rows_per_class": 0,
        "train_rows": len(run.train),
        "held_out_rows": len(run.held_out),
        "recipe": run.recipe.model_dump(mode="json"),
        "seeds": arguments.seeds,
        "budget": 0,
        "feature_level": not arguments.no_feature_level,
    }


def commit() -> str:
    """The commit that is checked out, where git is."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "HEAD"],  # noqa: S607 (found by the path)
            check=False, capture_output=True, text=True,
        )  # fmt: skip
    except OSError:
        return ""
    return done.stdout.strip()


def known(path: Path) -> dict[str, Any]:
    """What an earlier run wrote."""
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(path: Path, result: dict[str, Any]) -> None:
    """Everything so far; the file is whole at any time."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result), encoding="utf-8")
    partial.replace(path)


def said(row: Row, seconds: float) -> str:
    """A cell in a line."""
    if row.failed is not None:
        return f"{row.method}, {row.target}, seed {row.seed}: {row.failed}"
    return (
        f"{row.method}, {row.target}, seed {row.seed}: gap {row.gap:.4f}, forget "
        f"{row.after_forget_held_out:.4f}, loss {row.retained_loss:+.4f}, worst class "
        f"{row.worst_class_loss:.4f}, {row.seconds:.2f} s, {row.time_ratio:.3f} of retraining, "
        f"{row.verdict}; cell {seconds:.1f} s"
    )


def keep(path: Path, folder: Path) -> int:
    """Rows as Parquet, and the picture."""
    from lethe.evaluation.comparison.keep import About, write_rows
    from lethe.evaluation.comparison.picture import pareto_plot, save_small
    from lethe.evaluation.comparison.summary import summarise

    found = known(path)
    rows = [Row(**row) for row in found["rows"]]
    facts = found["about"] | {"seeds": len({row.seed for row in rows})}
    write_rows(folder / "comparison_cifar10.parquet", rows, About(**facts))
    title = f"CIFAR-10, ResNet-18 on {facts['device']}: how near to retraining each method comes"
    save_small(pareto_plot(summarise(rows), title), folder / "comparison_cifar10.png")
    print(f"{len(rows)} rows in {folder / 'comparison_cifar10.parquet'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
