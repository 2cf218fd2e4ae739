"""What a quarantine blocks, how fast, and what it costs, without and with regions.

    python benchmarks/quarantine.py --data digits --seeds 3
    python benchmarks/quarantine.py --data cwru --seeds 3

Reads data/<name> as committed and its recipe in params.yaml. Per seed it trains once; then every
class in turn is blocked by regions, by regions that hardly reach beyond themselves (width 0.001),
and everywhere; and 20 random training rows by regions. Shares are in percent of rows, losses in
points of accuracy, seconds from rows in memory to the patched and certified network. Writes
quarantine_<name>.json into benchmarks/results, and exits with 1 when a network under a patch is not
its parent's bytes, or a certified row is answered as before.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from class_forgetting import (
    RESULTS,
    Splits,
    accuracy,
    facts,
    only,
    read,
    read_recipe,
    without,
    write,
)
from torch import nn

from lethe.data.rows import TensorRows
from lethe.models.training import new_network, train
from lethe.patching.network import base_of
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.prune import PRUNE
from model_registry.register import weights_digest

ROWS = 20
# By class: the defaults, regions that hardly reach beyond themselves, and every input.
CASES = {
    "regions": PRUNE(),
    "regions alone": PRUNE(width=0.001),
    "everywhere": PRUNE(reach="everywhere"),
}


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, choices=["digits", "cwru"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    runs: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        model = train(new_network(recipe, seed=seed), splits.train, recipe, seed=seed).model
        if not seed:  # the first use of an operator is slow
            block(model, splits, PRUNE(), label=0, seed=0)
        for label, name in enumerate(splits.classes):
            for reach, method in CASES.items():
                run = block(model, splits, method, label=label, seed=seed)
                runs.append({"seed": seed, "asked": "class", "class": name, "reach": reach, **run})
        run = block(model, splits, PRUNE(), label=None, seed=seed)
        runs.append({"seed": seed, "asked": "rows", "class": "", "reach": "regions", **run})
        print(json.dumps(runs[-1]))
    cases = [*(("class", reach) for reach in CASES), ("rows", "regions")]
    summary = [summarise(runs, *case) for case in cases]
    broken = sum(not run["same_weights"] or run["certified_but_answered"] for run in runs)
    result = {
        **facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=1),
        "options": PRUNE().model_dump(mode="json"),
        "broken": broken,
        "summary": summary,
        "runs": runs,
    }
    print(json.dumps({"summary": summary, "broken": broken}, indent=1))
    if not arguments.no_write:
        write(RESULTS / f"quarantine_{arguments.data}.json", result)
    return int(bool(broken))


def block(
    model: nn.Module, splits: Splits, method: PRUNE, *, label: int | None, seed: int
) -> dict[str, Any]:
    """Block one class, or random rows, and measure on both splits."""
    rows, target, kept, held_out = parts(splits, label, seed)
    started = time.perf_counter()
    found = method.probe(model, target, Context(seed=seed))
    patched = method.edit(model, target, found, Context(seed=seed)).model
    seconds = time.perf_counter() - started
    with torch.no_grad():
        answered = patched(rows.x).argmax(1) == rows.y
    unseen = None if label is None else held_out
    return {
        "seconds": round(seconds, 3),
        "rows": len(rows),
        "regions": found.facts["regions"],
        "certified": 100 * found.facts["certified"] / len(rows),
        "blocked": 100 - accuracy(patched, rows),
        "blocked_held_out": None if unseen is None else 100 - accuracy(patched, unseen),
        "wrong_held_out_before": None if unseen is None else 100 - accuracy(model, unseen),
        "retained_train_loss": accuracy(model, kept) - accuracy(patched, kept),
        "retained_held_out_loss": loss(model, patched, splits.held_out, label),
        "certified_but_answered": int((answered & found.tensors["certified"]).sum()),
        "same_weights": weights_digest(base_of(patched)) == weights_digest(model),
    }


def parts(
    splits: Splits, label: int | None, seed: int
) -> tuple[TensorRows, ForgetTarget, TensorRows, TensorRows]:
    """Rows to block, as a target; retained training rows; held-out rows of the same class."""
    if label is not None:
        rows = only(splits.train, label)
        target = ForgetTarget(rows, "class", (label,))
        return rows, target, without(splits.train, label), only(splits.held_out, label)
    order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(seed))
    rows, kept = (
        TensorRows(splits.train.x[at], splits.train.y[at]) for at in (order[:ROWS], order[ROWS:])
    )
    return rows, ForgetTarget(rows, "samples"), kept, splits.held_out


def loss(model: nn.Module, patched: nn.Module, rows: TensorRows, label: int | None) -> float:
    """Accuracy lost on held-out rows that nobody asked to block."""
    kept = rows if label is None else without(rows, label)
    return accuracy(model, kept) - accuracy(patched, kept)


def summarise(runs: Sequence[Mapping[str, Any]], asked: str, reach: str) -> dict[str, Any]:
    """Mean and worst over classes and seeds of one case."""
    mine = [run for run in runs if (run["asked"], run["reach"]) == (asked, reach)]

    def mean(name: str) -> float | None:
        known = [run[name] for run in mine if run[name] is not None]
        return round(statistics.fmean(known), 3) if known else None

    unseen = [run["blocked_held_out"] for run in mine if run["blocked_held_out"] is not None]
    return {
        "asked": asked,
        "reach": reach,
        "runs": len(mine),
        "seconds_mean": mean("seconds"),
        "seconds_worst": max(run["seconds"] for run in mine),
        "regions_mean": mean("regions"),
        "blocked_mean": mean("blocked"),
        "certified_mean": mean("certified"),
        "blocked_held_out_mean": mean("blocked_held_out"),
        "blocked_held_out_least": round(min(unseen), 3) if unseen else None,
        "retained_train_loss_worst": round(max(run["retained_train_loss"] for run in mine), 3),
        "retained_held_out_loss_mean": mean("retained_held_out_loss"),
        "retained_held_out_loss_worst": round(
            max(run["retained_held_out_loss"] for run in mine), 3
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
