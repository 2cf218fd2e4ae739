"""Compare methods on an accelerator, where nothing but PyTorch and scikit-learn may be installed.

    python benchmarks/accelerator.py --data cifar10 --npz cifar10.npz --classes cat,ship,truck \
        --methods pte,delete --seeds 3 --seconds 400 --out rows.json
    python benchmarks/accelerator.py --keep rows.json     # at home: Parquet, of whole seeds

The cells are those of `lethe benchmark` (`tasks.benchmark.cell`), without hidden layers. CIFAR-10
is trained in bfloat16 with crops and flips, as `benchmarks/cifar10.py` does, other sets by their
recipe in params.yaml. Seed by seed, so that what fits into the time is whole seeds first; a method
that takes longer than `--method-seconds` on a request has failed there.
"""

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from cifar10_data import CLASSES, Pictures
from cifar10_steps import Run, trained

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.evaluation.comparison.row import Row
from lethe.evaluation.gates import GateThresholds
from lethe.models.training import TrainingSettings
from tasks.benchmark.cell import Case, Reference, Way, device_name, measure, warm_up
from tasks.benchmark.rows import Splits, Target

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
METHODS = (
    *("pte", "delete", "boundary_shrink", "random_labels", "gradient_ascent"),
    *("salun_forget_only", "imu", "l2ul", "boundary_expand"),
)


def main() -> int:
    """Measure, or keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, nargs="+", help="files of rows to keep as Parquet")
    parser.add_argument("--data", choices=["cifar10", "fashion_mnist"])
    parser.add_argument("--npz", type=Path, help="x, y, x_test, y_test and, for names, classes")
    parser.add_argument("--classes", help="with commas between; default: all")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="0,1,2", help="which, with commas between")
    parser.add_argument("--epochs", type=int, help="of training; default: the recipe's")
    parser.add_argument("--batch-size", type=int, help="of training; default: the recipe's")
    parser.add_argument("--seconds", type=float, default=400)
    parser.add_argument("--method-seconds", type=float, default=20)
    parser.add_argument("--out", type=Path, default=Path("rows.json"))
    arguments = parser.parse_args()
    if arguments.keep:
        return keep(arguments.keep)
    return compare(arguments)


def compare(arguments: argparse.Namespace) -> int:
    """All cells that fit into the time, written after every request."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.allow_tf32 = True
    splits, recipe = _splits(arguments), _recipe(arguments)
    names = arguments.classes.split(",") if arguments.classes else list(splits.classes)
    run = _run(arguments, device, splits, recipe)
    rows: list[Row] = []
    for seed in map(int, arguments.seeds.split(",")):
        original, seconds = trained(run, run.train, seed)
        run.write(f"seed {seed}: trained in {seconds} s")
        for name in names:
            if run.left < 2 * seconds:
                run.write("no time is left")
                break
            index = splits.classes.index(name)
            target = Target("class", index, name)
            started = time.process_time()
            again, took = trained(run, run.train.chosen(run.train.y != index), seed)
            reference = Reference(again, took, time.process_time() - started)
            case = Case(
                data=splits.data,
                kind="class",
                target=name,
                forgotten=(index,),
                seed=seed,
                classes=splits.classes,
                parts=splits.parts(target),
                original=original,
                retrained=reference,
                device=device,
            )
            warm_up(original, case.parts["forget_train"], device)  # type: ignore[index]
            for method in arguments.methods.split(","):
                if run.left < arguments.method_seconds:
                    run.write("no time is left")
                    break
                rows.append(_measured(case, method, arguments.method_seconds))
                run.result["rows"] = [asdict(one) for one in rows]
                run.write(_said(rows[-1]))
    return 0


def keep(files: Sequence[Path]) -> int:
    """Write the rows of these files as `lethe benchmark` keeps its own."""
    from lethe.evaluation.comparison.keep import About, write_rows
    from lethe.evaluation.comparison.picture import pareto_plot, save_small
    from lethe.evaluation.comparison.summary import summarise

    found = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    first = found[0]
    rows = whole_seeds([Row(**line) for one in found for line in one["rows"]])
    about = About(
        **{
            **first["about"],
            "command": "; ".join(_short(one["about"]["command"]) for one in found),
            "seeds": len({row.seed for row in rows}),
            "git_commit": _git("rev-parse", "HEAD"),
            "changed": bool(_git("status", "--porcelain", "-uno", "--", "lethe", "tasks")),
            "dvc_md5": "",
        }
    )
    name = f"comparison_{first['about']['data']}_accelerator"
    write_rows(RESULTS / f"{name}.parquet", rows, about)
    title = f"{about.data}: how near to retraining each method comes"
    save_small(pareto_plot(summarise(rows), title), ROOT / "docs" / "images" / f"{name}.png")
    print(f"{len(rows)} rows in {name}.parquet")
    return 0


def whole_seeds(rows: Sequence[Row]) -> list[Row]:
    """The rows of the seeds for which every method has every request: means of others mislead."""
    cells = Counter(row.seed for row in rows)
    most = max(cells.values())
    return [row for row in rows if cells[row.seed] == most]


def _short(command: str) -> str:
    """A command without the folders that its files lay in."""
    return " ".join(word.rpartition("/")[2] if ".npz" in word or ".json" in word else word
                    for word in command.split())  # fmt: skip


def _splits(arguments: argparse.Namespace) -> Splits:
    with np.load(arguments.npz) as file:
        arrays = [torch.from_numpy(file[name]) for name in ("x", "y", "x_test", "y_test")]
        names = tuple(file["classes"].tolist()) if "classes" in file else CLASSES
    scale = 1.0 if arguments.data == "cifar10" else 255.0  # the other data set is in 0 to 1
    train, held_out = (TensorRows(x.float() / scale, y.long()) for x, y in (arrays[:2], arrays[2:]))
    return Splits(arguments.data, train, held_out, names, "")


def _recipe(arguments: argparse.Namespace) -> TrainingSettings:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    given = {"epochs": arguments.epochs, "batch_size": arguments.batch_size}
    wanted = {name: value for name, value in given.items() if value is not None}
    return TrainingSettings.model_validate({**params["train"][arguments.data], **wanted})


def _run(
    arguments: argparse.Namespace, device: torch.device, splits: Splits, recipe: TrainingSettings
) -> Run:
    """What trains and writes; the training rows lie on the device."""
    pictures = arguments.data == "cifar10"
    x = splits.train.x.to(device, torch.uint8 if pictures else torch.float32)
    held_out = Pictures(splits.held_out.x, splits.held_out.y)
    run = Run(
        device=device,
        train=Pictures(x, splits.train.y.to(device), augment=pictures),
        held_out=held_out,
        recipe=recipe,
        bfloat16=pictures,
        seconds=arguments.seconds,
        method_seconds=arguments.method_seconds,
        options={},
        out=arguments.out,
    )
    run.result = {"rows": [], "about": _about(arguments, device, splits, recipe)}
    return run


def _about(
    arguments: argparse.Namespace, device: torch.device, splits: Splits, recipe: TrainingSettings
) -> dict[str, Any]:
    return {
        "command": shlex.join(["python", *sys.argv]),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "device": device_name(device),
        "cpus": os.cpu_count() or 1,
        "workers": 1,
        "data": arguments.data,
        "rows_per_class": 0,
        "train_rows": len(splits.train),
        "held_out_rows": len(splits.held_out),
        "recipe": recipe.model_dump(mode="json"),
        "budget": 0,
        "feature_level": False,
    }


def _measured(case: Case, method: str, seconds: float) -> Row:
    way = Way(method)
    try:
        with _at_most(seconds):
            return measure(case, way, GateThresholds(), feature_level=False)
    except MethodError as error:  # in the evaluation, after the edit
        late = measure(case, Way("retrain"), GateThresholds())  # a row that says what it lacks
        return replace(late, method=method, needs="forget_only", failed=str(error))


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Make the method fail that takes longer."""

    def stop(_signal: int, _frame: object) -> None:
        raise MethodError(f"It took longer than {seconds:.0f} s and was stopped.")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _said(row: Row) -> str:
    if row.failed is not None:
        return f"{row.seed} {row.target} {row.method}: {row.failed}"
    figures = {
        "forget": row.after_forget_held_out,
        "loss": row.retained_loss,
        "worst": row.worst_class_loss,
        "gap": row.gap,
        "s": row.seconds,
        "share": row.time_ratio,
    }
    said = " ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None)
    return f"{row.seed} {row.target} {row.method}: {said} {row.verdict}"


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words],  # noqa: S607
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
