"""CIFAR-10 with ResNet-18: forget a class against retraining without it, on an accelerator.

    python benchmarks/cifar10.py --data data/cifar10 --out benchmarks/results/cifar10.json
    PYTHONPATH=. python3 benchmarks/cifar10.py --tiny       # invented pictures, any machine

`--data` is the folder of train.parquet and test.parquet, or an .npz with x, y, x_test and y_test as
bytes. Lethe need not be installed. Per seed it trains the original; per class it retrains without
the class by the same recipe (params.yaml, with crops and flips added, in bfloat16 on CUDA), then
runs PTE, by its defaults and on all layers, and evaluates it. Every other method that needs forget
rows alone follows, for the first seed. Edits are in float32 with PyTorch's defaults (TF32 in
convolutions) and read rows on the CPU. The accelerator is waited for at every reading of the clock.
Steps that no longer fit into `--seconds` are named and left out; the result is written after every
step. Accuracies and losses are shares in 0..1.

Bars: held-out accuracy of the original at least 0.90; unlearning at most 2 % of the time of
retraining; evaluation from forget rows alone at most as long as PTE took.
"""

import argparse
import importlib
import json
import os
import pkgutil
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from cifar10_data import CLASSES, invented, on_cpu, on_device, read
from cifar10_steps import Class, Run, accuracies, attempt, evaluated, key, trained
from torch import nn

import lethe.unlearning
from lethe.data.rows import Rows
from lethe.evaluation.results import FORGET_PARTS, Part
from lethe.models.training import TrainingSettings
from lethe.unlearning.method import Context, ForgetTarget, Method
from lethe.unlearning.pte import PTE

ROOT = Path(__file__).resolve().parent.parent
BARS = {"held_out_least": 0.90, "time_share_most": 0.02, "evaluation_per_edit_most": 1.0}
FIRST: Mapping[str, Mapping[str, Any]] = {"pte": {}, "pte_deep": {"edited_share": 1.0}}
LATER: Mapping[str, Mapping[str, Any]] = {
    "pte_batch_512": {"batch_size": 512},
    "pte_deep_batch_512": {"edited_share": 1.0, "batch_size": 512},
}


def main() -> int:
    """Measure, print, write the result."""
    run, arguments = prepare()
    names = arguments.classes.split(",")
    if run.device.type == "cuda":
        warm_up(run)
    done: list[Class] = []
    for seed in range(arguments.seeds):
        if seed and not run.fits(f"seed {seed}", 2.2 * run.result["trained"][0]["seconds"]):
            break
        original, seconds = trained(run, run.train, seed)
        first = {"seed": seed, "seconds": seconds, "peak_bytes": run.peak()}
        first |= accuracies(run, original, None)
        run.result["trained"].append(first)
        run.write(f"original, seed {seed}: held-out {first['held_out']:.4f} in {seconds:.1f} s")
        for name in names:
            if run.fits(f"{name}, seed {seed}", 1.1 * seconds + run.method_seconds):
                done.append(one_class(run, original, CLASSES.index(name), seed))
                pte(run, done[-1])
        if seed:
            continue
        if done and run.fits("an epoch by other recipes", 30):
            other_recipes(run, done[0])
        for one in done:
            other_methods(run, one)
    summarise(run)
    return 0


def prepare() -> tuple[Run, argparse.Namespace]:
    """Arguments, data and device."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "cifar10")
    parser.add_argument("--out", type=Path, help="where to write the result, JSON")
    parser.add_argument("--classes", default="airplane,cat,truck", help="in order of importance")
    parser.add_argument("--seeds", type=int, default=3, help="at most, as time allows")
    parser.add_argument("--seconds", type=float, default=360, help="for everything")
    parser.add_argument("--method-seconds", type=float, default=15, help="for a method's phase")
    parser.add_argument("--epochs", type=int, help="instead of params.yaml's")
    parser.add_argument("--batch-size", type=int, help="likewise")
    parser.add_argument("--learning-rate", type=float, help="likewise")
    parser.add_argument("--tiny", action="store_true", help="invented pictures, a narrow network")
    arguments = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = read_recipe()
    if arguments.tiny:
        tiny = {"network_kwargs": {"width": 4}, "epochs": 8, "batch_size": 32}
        recipe = recipe.model_copy(update=tiny)
    given = ("epochs", "batch_size", "learning_rate")
    recipe = recipe.model_copy(
        update={name: getattr(arguments, name) for name in given if getattr(arguments, name)}
    )
    x, y, x_test, y_test = invented(size=8) if arguments.tiny else read(arguments.data)
    run = Run(
        device=device,
        train=on_device(x, y, device, augment=True),
        held_out=on_device(x_test, y_test, device, augment=False),
        recipe=recipe,
        bfloat16=device.type == "cuda",
        seconds=arguments.seconds,
        method_seconds=arguments.method_seconds,
        options={"epochs": 2, "least_steps": 4} if arguments.tiny else {},
        out=arguments.out,
    )
    run.result |= facts(run, tiny=arguments.tiny)
    run.result |= {"left_out": [], "trained": [], "retrained": [], "edits": [], "evaluations": []}
    return run, arguments


def read_recipe() -> TrainingSettings:
    """How params.yaml says to train on CIFAR-10."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return TrainingSettings.model_validate_json(json.dumps(params["train"]["cifar10"]))


def facts(run: Run, *, tiny: bool) -> dict[str, Any]:
    """What it takes to understand and repeat the measurement."""
    cuda = run.device.type == "cuda"
    return {
        "command": " ".join(["python", *sys.argv]),
        "data": "invented pictures" if tiny else "CIFAR-10",
        "rows": {
            split: torch.bincount(rows.y, minlength=len(CLASSES)).tolist()
            for split, rows in (("train", run.train), ("held_out", run.held_out))
        },
        "recipe": run.recipe.model_dump(mode="json"),
        "augmentation": "random crop of 4 pixels, random flip",
        "precision": {
            "training": "bfloat16 autocast, channels last" if run.bfloat16 else "float32",
            "edits": f"float32, TF32 in convolutions: {cuda and torch.backends.cudnn.allow_tf32}",
        },
        "bars": BARS,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "device_bytes": torch.cuda.get_device_properties(0).total_memory if cuda else None,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def warm_up(run: Run) -> None:
    """Run everything once and briefly: the first use of an operator is slow."""
    few = torch.zeros(len(run.train), dtype=torch.bool, device=run.device)
    few[:2000] = True
    short = run.recipe.model_copy(update={"epochs": 1})
    network = trained(run, run.train.chosen(few), 0, recipe=short)[0]
    target = ForgetTarget(on_cpu(run.train, few & (run.train.y == 0)), "class", (0,))
    context = Context(device=run.device)
    for options in (*FIRST.values(), *LATER.values()):
        method = PTE(**{**options, **run.options, "epochs": 1, "least_steps": 1})
        method.edit(network, target, method.probe(network, target, context), context)
    rows = {
        Part.FORGET_TRAIN: target.rows,
        Part.FORGET_HELD_OUT: target.rows,
        Part.RETAINED_TRAIN: on_cpu(run.train, few & (run.train.y != 0)),
        Part.RETAINED_HELD_OUT: on_cpu(run.train, few & (run.train.y != 0)),
    }
    one = Class(0, 0, network, network, 0.0, rows, {})
    evaluated(run, one, network, rows, reference=True)
    accuracies(run, network, 0)
    run.peak()
    run.write("warmed up")


def one_class(run: Run, original: nn.Module, gone: int, seed: int) -> Class:
    """Retrain without one class."""
    retrained, seconds = trained(run, run.train.chosen(run.train.y != gone), seed)
    parts: dict[Part, Rows] = {
        part: on_cpu(rows, (rows.y == gone) if part in FORGET_PARTS else (rows.y != gone))
        for part, rows in zip(Part, (run.train, run.held_out) * 2, strict=True)
    }
    before = accuracies(run, original, gone)
    one = Class(seed, gone, original, retrained, seconds, parts, before)
    found = accuracies(run, retrained, gone)
    name = {"class": CLASSES[gone], "seed": seed}
    run.result["retrained"].append({**name, "seconds": seconds, "before": before, **found})
    run.write(
        f"retrained without {one.name}: retained held-out {found['retained_held_out']:.4f} "
        f"in {seconds:.1f} s"
    )
    return one


def pte(run: Run, one: Class) -> None:
    """PTE on one class, evaluated at once: from forget rows alone, and from all rows."""
    for name, options in FIRST.items():
        edited = attempt(run, one, name, lambda options=options: PTE(**options, **run.options))
        if edited is None:
            continue
        row, successor = edited
        for reference in (False, True):
            judge(run, one, row, successor, reference=reference)


def other_methods(run: Run, one: Class) -> None:
    """Every other method on one class; then their verdicts, as time allows."""
    edits = []
    for name, make in others(run):
        if run.fits(f"{name}, {one.name}", run.method_seconds):
            edited = attempt(run, one, name, make)
            edits += [edited] if edited else []
    for row, successor in edits:
        if run.fits(f"verdict of {row['method']}, {one.name}", 1.2 * run.longest_evaluation):
            judge(run, one, row, successor, reference=True)


def judge(
    run: Run, one: Class, row: Mapping[str, Any], successor: nn.Module, *, reference: bool
) -> None:
    """Evaluate an edit from all rows and the retrained network, or from forget rows alone."""
    rows = {p: r for p, r in one.parts.items() if reference or p in FORGET_PARTS}
    kind = "all" if reference else "forget_only"
    named = {**key(one, row["method"]), "rows": kind}
    try:
        found = evaluated(run, one, successor, rows, reference=reference)
    except Exception as error:  # noqa: BLE001 (one failure must not end the measurement)
        run.result["evaluations"].append({**named, "failed": repr(error)})
        run.write(f"  {row['method']}, {one.name}, {kind} rows: {error!r}")
        return
    run.longest_evaluation = max(run.longest_evaluation, found["seconds"])
    found["per_edit"] = round(found["seconds"] / row["seconds"], 3)
    run.result["evaluations"].append({**named, **found})
    said = ", ".join(f"{verdict} against {name}" for name, verdict in found["verdict"].items())
    run.write(
        f"  {row['method']}, {one.name}, {kind} rows: {said}; {found['output_seconds']:.2f} + "
        f"{found['feature_seconds']:.2f} s, {found['per_edit']:.2f} of the edit"
    )


def others(run: Run) -> Iterator[tuple[str, Callable[[], Method]]]:
    """PTE in larger steps, and all other methods that forget a class from its rows alone."""
    for name, options in LATER.items():
        yield name, lambda options=options: PTE(**options, **run.options)
    for module in pkgutil.iter_modules(lethe.unlearning.__path__):
        path = f"{lethe.unlearning.__name__}.{module.name}"
        try:
            members = vars(importlib.import_module(path)).values()
        except Exception as error:  # noqa: BLE001 (one broken method must not end the measurement)
            run.result["left_out"].append(f"{path}: {error!r}")
            continue
        for found in members:
            if not isinstance(found, type) or found.__module__ != path or found is PTE:
                continue
            if "class" in getattr(found, "forgets", ()) and found.needs == "forget_only":
                yield found.name, lambda made=found: made(**run.options)


def other_recipes(run: Run, one: Class) -> None:
    """An epoch of retraining in the edits' precision, and by params.yaml's recipe as it stands."""
    rows = run.train.chosen(run.train.y != one.gone)
    committed = read_recipe()
    found = {"as_measured": round(one.retrain_seconds / run.recipe.epochs, 3)}
    for name, recipe, bfloat16 in (
        ("edits_precision", run.recipe, False),
        ("committed_recipe", committed, run.bfloat16),
    ):
        short = run.recipe.model_copy(update={"epochs": 1, "batch_size": recipe.batch_size})
        found[name] = trained(run, rows, 0, recipe=short, bfloat16=bfloat16)[1]
    run.result["retrain_epoch_seconds"] = found | {"committed_epochs": committed.epochs}
    run.write(f"seconds of an epoch of retraining: {found}")


def summarise(run: Run) -> None:
    """The figures that the bars are for."""
    edits = [row for row in run.result["edits"] if "seconds" in row]
    summary: dict[str, Any] = {}
    for method in dict.fromkeys(row["method"] for row in edits):
        mine = [row for row in edits if row["method"] == method]
        summary[method] = {
            "runs": len(mine),
            "forget_held_out_max": max(row["forget_held_out"] for row in mine),
            "retained_loss_max": max(row["retained_loss"] for row in mine),
            "worst_class_loss_max": max(row["worst_class"]["loss"] for row in mine),
            "seconds_max": max(row["seconds"] for row in mine),
            "time_share_max": max(row["time_share"] for row in mine),
        }
        costs = [
            row["per_edit"]
            for row in run.result["evaluations"]
            if row["method"] == method and row["rows"] == "forget_only" and "per_edit" in row
        ]
        if costs:
            summary[method]["evaluation_per_edit_max"] = max(costs)
    run.result["summary"] = summary
    run.write("done")
    print(json.dumps({"left_out": run.result["left_out"], "summary": summary}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
