"""Forget each class of a data set in turn, against retraining without it in the same run.

    python benchmarks/class_forgetting.py --data digits --seeds 3
    python benchmarks/class_forgetting.py --data cwru --seeds 3 --classes Normal,IR021
    python benchmarks/class_forgetting.py --data digits --method pte --options '{"norm": "l2"}'

Reads data/<name> as committed and its recipe in params.yaml. Per class and seed it trains (once
per seed), unlearns, retrains without the class and measures all three on both splits.
Accuracies and losses are in percent and points. Each edit and each retraining is timed twice, and
the shorter time counts, since what else the machine does only ever adds. Writes
class_forgetting_<name>.json into benchmarks/results and exits with 1 when a bar is missed.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from torch import nn

from lethe.data.dataset import dataset_rows
from lethe.data.rows import TensorRows
from lethe.data.training_card import TrainingCard
from lethe.models.card import About, make_card
from lethe.models.training import TrainingSettings, new_network, train
from lethe.unlearning.method import Context, Edit, ForgetTarget, load_method

Made = TypeVar("Made")

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MEMORY_BUDGET = 512 * 2**20

# Highest values that pass: percent, points, shares.
BARS: Mapping[str, Mapping[str, float]] = {
    "digits": {
        "forget_held_out_max": 0.0,
        "retained_loss_mean": 0.5,
        "retained_loss_worst": 1.5,
    },
    "cwru": {
        "forget_train_max": 0.5,
        "forget_held_out_max": 0.5,
        "retained_loss_mean": 0.5,
        "retained_loss_worst": 1.0,
        "time_ratio_mean": 0.25,
        "cpu_ratio_worst": 0.25,  # a single wall time depends on what else the machine does
    },
}


@dataclass(frozen=True)
class Splits:
    """Training and held-out rows, in memory, and what identifies them."""

    train: TensorRows
    held_out: TensorRows
    classes: tuple[str, ...]
    dvc_md5: str


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", required=True, choices=["digits", "cwru", "watch", "fashion_mnist"]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--classes", help="labels with commas between; default: all")
    parser.add_argument("--method", default="pte")
    parser.add_argument("--options", default="{}", help="the method's options, JSON")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    names = arguments.classes.split(",") if arguments.classes else splits.classes
    options = json.loads(arguments.options)
    warm_up(splits, recipe, arguments.method, options)
    runs = []
    for seed in range(arguments.seeds):
        original = train(new_network(recipe, seed=seed), splits.train, recipe, seed=seed)
        for name in names:
            forgotten = splits.classes.index(name)
            run = forget(
                original.model,
                splits,
                forgotten,
                method=arguments.method,
                options=options,
                seed=seed,
            )
            run |= retrain(splits, forgotten, recipe, seed)
            for clock, ratio in (("seconds", "time_ratio"), ("cpu_seconds", "cpu_ratio")):
                run[ratio] = round(run[f"unlearn_{clock}"] / run[f"retrain_{clock}"], 3)
            runs.append({"seed": seed, "class": name, **run})
            print(json.dumps(runs[-1]))
    summary = summarise(runs)
    bars = BARS.get(arguments.data, {})
    missed = {name: summary[name] for name, bar in bars.items() if summary[name] > bar}
    result = {
        **facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=arguments.threads),
        "method": arguments.method,
        "options": load_method(arguments.method, options).model_dump(mode="json"),
        "bars": bars,
        "missed": missed,
        "summary": summary,
        "runs": runs,
    }
    print(json.dumps({"summary": summary, "missed": missed}, indent=2))
    if not arguments.no_write:
        write(RESULTS / f"class_forgetting_{arguments.data}.json", result)
    return int(bool(missed))


def read(name: str) -> Splits:
    """Both splits of data/<name> as committed."""
    train_rows, held_out = (
        dataset_rows(str(ROOT), f"data/{name}", split=split, memory_budget=MEMORY_BUDGET)
        for split in ("train", "test")
    )
    rows = []
    for read_rows in (train_rows.rows, held_out.rows):
        batches = list(read_rows.batches(4096))
        rows.append(
            TensorRows(torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches]))
        )
    return Splits(rows[0], rows[1], train_rows.info.classes, train_rows.dvc_md5)


def read_recipe(name: str) -> TrainingSettings:
    """How params.yaml says to train on this data set."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return TrainingSettings.model_validate_json(json.dumps(params["train"][name]))


def forget(
    model: nn.Module,
    splits: Splits,
    forgotten: int,
    *,
    method: str,
    options: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Accuracies before and after forgetting one class, and what it took."""
    unlearning = load_method(method, options)
    retained = without(splits.train, forgotten) if unlearning.needs == "retain" else None
    target = ForgetTarget(only(splits.train, forgotten), "class", (forgotten,), retained)
    card = card_of(model, splits, seed) if unlearning.needs == "stored_statistics" else None
    context = Context(seed=seed, card=card)

    def both() -> Edit:
        return unlearning.edit(model, target, unlearning.probe(model, target, context), context)

    edit, seconds, cpu_seconds = timed(both)
    before, after = (accuracies(network, splits, forgotten) for network in (model, edit.model))
    classes_before, classes_after = (
        per_class(network, splits.held_out, len(splits.classes)) for network in (model, edit.model)
    )
    losses = {
        name: classes_before[index] - classes_after[index]
        for index, name in enumerate(splits.classes)
        if index != forgotten
    }
    worst = max(losses, key=lambda name: losses[name])
    return {
        "before": before,
        "after": after,
        "retained_loss": round(before["retained_held_out"] - after["retained_held_out"], 3),
        "worst_class": {"class": worst, "loss": round(losses[worst], 2)},
        "unlearn_seconds": round(seconds, 3),
        "unlearn_cpu_seconds": round(cpu_seconds, 3),
        "epochs": edit.epochs,
        "stopped": edit.stopped,
    }


def card_of(model: nn.Module, splits: Splits, seed: int) -> TrainingCard:
    """The training card that such a model would have."""
    about = About("0" * 64, "data", splits.dvc_md5, "0" * 40)
    return make_card(
        model,
        splits.train,
        splits.held_out,
        splits.classes,
        device=torch.device("cpu"),
        seed=seed,
        about=about,
    )


def retrain(splits: Splits, forgotten: int, recipe: TrainingSettings, seed: int) -> dict[str, Any]:
    """Accuracies of a network trained by the same recipe without one class, and what it took."""
    rows = without(splits.train, forgotten)
    trained, seconds, cpu_seconds = timed(
        lambda: train(new_network(recipe, seed=seed), rows, recipe, seed=seed)
    )
    return {
        "retrained": accuracies(trained.model, splits, forgotten),
        "retrain_seconds": round(seconds, 3),
        "retrain_cpu_seconds": round(cpu_seconds, 3),
    }


def timed(call: Callable[[], Made]) -> tuple[Made, float, float]:
    """What a call makes, and the shorter of two calls' wall and processor time."""
    walls, cpus = [], []
    for _ in range(2):
        started, cpu_started = time.perf_counter(), time.process_time()
        made = call()
        walls.append(time.perf_counter() - started)
        cpus.append(time.process_time() - cpu_started)
    return made, min(walls), min(cpus)


def warm_up(
    splits: Splits, recipe: TrainingSettings, method: str, options: Mapping[str, Any]
) -> None:
    """Run everything once and briefly: the first use of an operator is slow."""
    short = recipe.model_copy(update={"epochs": 1})
    model = train(new_network(short), splits.train, short).model
    forget(model, splits, 0, method=method, options=options, seed=0)


def only(rows: TensorRows, label: int) -> TensorRows:
    """The rows of one class."""
    return TensorRows(rows.x[rows.y == label], rows.y[rows.y == label])


def without(rows: TensorRows, label: int) -> TensorRows:
    """The rows of all other classes."""
    return TensorRows(rows.x[rows.y != label], rows.y[rows.y != label])


def accuracies(model: nn.Module, splits: Splits, forgotten: int) -> dict[str, float]:
    """Accuracy, in percent, on the forgotten and the retained rows of both splits."""
    return {
        f"{part}_{split}": round(accuracy(model, choose(rows, forgotten)), 3)
        for part, choose in (("forget", only), ("retained", without))
        for split, rows in (("train", splits.train), ("held_out", splits.held_out))
    }


def accuracy(model: nn.Module, rows: TensorRows) -> float:
    """Share of rows, in percent, whose label the model predicts."""
    with torch.no_grad():
        correct = sum((model(b.x).argmax(1) == b.y).sum().item() for b in rows.batches(1024))
    return 100 * correct / len(rows)


def per_class(model: nn.Module, rows: TensorRows, classes: int) -> list[float]:
    """Accuracy of every class in percent."""
    return [accuracy(model, only(rows, label)) for label in range(classes)]


def summarise(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean, spread and worst over all classes and seeds."""
    losses = [run["retained_loss"] for run in runs]
    ratios = [run["time_ratio"] for run in runs]
    return {
        "runs": len(runs),
        "forget_train_max": max(run["after"]["forget_train"] for run in runs),
        "forget_held_out_max": max(run["after"]["forget_held_out"] for run in runs),
        "retained_held_out_before": mean(run["before"]["retained_held_out"] for run in runs),
        "retained_held_out_after": mean(run["after"]["retained_held_out"] for run in runs),
        "retained_held_out_retrained": mean(run["retrained"]["retained_held_out"] for run in runs),
        "retained_loss_mean": mean(losses),
        "retained_loss_spread": round(statistics.pstdev(losses), 3),
        "retained_loss_worst": max(losses),
        "class_loss_worst": max(run["worst_class"]["loss"] for run in runs),
        "time_ratio_mean": mean(ratios),
        "time_ratio_worst": max(ratios),
        "cpu_ratio_mean": mean(run["cpu_ratio"] for run in runs),
        "cpu_ratio_worst": max(run["cpu_ratio"] for run in runs),
        "unlearn_seconds_mean": mean(run["unlearn_seconds"] for run in runs),
        "retrain_seconds_mean": mean(run["retrain_seconds"] for run in runs),
    }


def mean(values: Any) -> float:
    """The mean with three decimals."""
    return round(statistics.fmean(values), 3)


def facts(
    name: str, splits: Splits, recipe: TrainingSettings, *, seeds: int, threads: int
) -> dict[str, Any]:
    """What it takes to understand and repeat the measurement."""
    return {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "data": name,
        "dvc_md5": splits.dvc_md5,
        "rows": {"train": len(splits.train), "held_out": len(splits.held_out)},
        "recipe": recipe.model_dump(mode="json"),
        "seeds": seeds,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "device": "cpu",
        "cpus": os.cpu_count(),
        "threads": threads,
    }


def write(path: Path, result: Mapping[str, Any]) -> None:
    """The result as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
