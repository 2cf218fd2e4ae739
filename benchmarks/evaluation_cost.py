"""What measuring costs, against the edit that is measured, in the same run.

    python benchmarks/evaluation_cost.py --data cwru --seeds 3

Processor time of PTE's two phases, of the evaluation with forget rows alone (output level, likeness
and original means), and of the evaluation with all rows (every reading), as shares of the edit's.
The bar: without retained rows at most 1. Exits with 1 when it is missed.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from class_forgetting import RESULTS, ROOT, Splits, facts, only, read, read_recipe, without, write
from torch import nn

from lethe.data.prepare import ensure_prepared
from lethe.evaluation.feature_level.class_means import class_means
from lethe.evaluation.feature_level.layers import FEATURES, capture
from lethe.evaluation.feature_level.measure import measure_features
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.results import Part
from lethe.models.training import new_network, train
from lethe.unlearning.method import Context, ForgetTarget, load_method

CPU = torch.device("cpu")
BAR = 1.0


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ensure_prepared(arguments.data, root=ROOT, home=ROOT / ".lethe")
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    runs: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        original = train(new_network(recipe, seed=seed), splits.train, recipe, seed=seed).model
        seen = capture(original, splits.train, [FEATURES], device=CPU)
        means = class_means(seen.by_layer[FEATURES], seen.labels)  # as a training card keeps them
        fresh = new_network(recipe, seed=seed + 2000).eval()
        for gone in (seed % len(splits.classes), (seed + 5) % len(splits.classes)):
            runs.append(cost(original, fresh, splits, gone, means=means, seed=seed))
            print(json.dumps(runs[-1]))
    # The first use of an operator is slow.
    ratios = [run["forget_only_ratio"] for run in runs[1:]]
    summary = {
        "forget_only_ratio_mean": round(statistics.fmean(ratios), 3),
        "forget_only_ratio_worst": max(ratios),
        "all_rows_ratio_mean": round(statistics.fmean(r["all_rows_ratio"] for r in runs[1:]), 3),
    }
    print(json.dumps(summary))
    if not arguments.no_write:
        known = facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=1)
        write(
            RESULTS / f"evaluation_cost_{arguments.data}.json",
            {**known, "bar": BAR, "summary": summary, "runs": runs},
        )
    return int(summary["forget_only_ratio_mean"] > BAR)


def cost(
    original: nn.Module, fresh: nn.Module, splits: Splits, gone: int, *, means: Any, seed: int
) -> dict[str, Any]:
    """Processor seconds of one edit, and of both evaluations as shares of it."""
    forget = {
        Part.FORGET_TRAIN: only(splits.train, gone),
        Part.FORGET_HELD_OUT: only(splits.held_out, gone),
    }
    every = forget | {
        Part.RETAINED_TRAIN: without(splits.train, gone),
        Part.RETAINED_HELD_OUT: without(splits.held_out, gone),
    }
    method = load_method("pte")
    target = ForgetTarget(forget[Part.FORGET_TRAIN], "class", (gone,))

    def edit() -> nn.Module:
        found = method.probe(original, target, Context(seed=seed))
        return method.edit(original, target, found, Context(seed=seed)).model

    successor, edited = timed(edit)
    networks = {"original": original, "successor": successor, "fresh": fresh}

    def measure(parts: dict[Part, Any]) -> None:
        evaluate(original, successor, parts, classes=splits.classes, forgotten=[gone], device=CPU)
        measure_features(networks, parts, forgotten=[gone], device=CPU, means=means, seed=seed)

    alone, whole = (timed(lambda parts=parts: measure(parts))[1] for parts in (forget, every))
    return {
        "seed": seed,
        "class": splits.classes[gone],
        "edit_cpu_seconds": round(edited, 3),
        "forget_only_ratio": round(alone / edited, 3),
        "all_rows_ratio": round(whole / edited, 3),
    }


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the processor time that it took."""
    started = time.process_time()
    found = call()
    return found, time.process_time() - started


if __name__ == "__main__":
    sys.exit(main())
