"""What push and pull each contribute: forget every class with parts of PTE switched off.

    python benchmarks/ablation.py --data digits --seeds 3

Corners: push alone with the cross-entropy to the editing instruction (a multi-step Boundary Shrink)
and with the bounded push, pull alone with both sides masked (pure retention, it cannot forget),
pull alone with only the teacher masked (DELETE plus probes and anchors), and push with pull. Every
corner has the other settings at their defaults. Writes benchmarks/results/ablation_<name>.json.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from typing import Any

import torch
from class_forgetting import RESULTS, Splits, facts, forget, mean, read, read_recipe, write

from lethe.models.training import TrainingSettings, new_network, train

CORNERS: Mapping[str, Mapping[str, str]] = {
    "push (cross-entropy)": {"push": "cross_entropy", "pull": "none"},
    "push (bounded)": {"push": "bounded", "pull": "none"},
    "pull (masked)": {"push": "none", "pull": "masked"},
    "pull (teacher only)": {"push": "none", "pull": "teacher_only"},
    "push (cross-entropy) + pull (masked)": {"push": "cross_entropy", "pull": "masked"},
    "push (bounded) + pull (masked)": {"push": "bounded", "pull": "masked"},
}
# A corner that cannot forget would only be driven out of shape by a rate that grows.
CONSTANT = {"growth": 1, "least_steps": 1}


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", choices=["digits", "cwru", "watch"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    corners = measure(splits, recipe, arguments.seeds)
    result = {
        **facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=arguments.threads),
        "corners": corners,
    }
    if not arguments.no_write:
        write(RESULTS / f"ablation_{arguments.data}.json", result)
    return 0


def measure(splits: Splits, recipe: TrainingSettings, seeds: int) -> list[dict[str, Any]]:
    """Every corner on every class and seed."""
    originals = [
        train(new_network(recipe, seed=seed), splits.train, recipe, seed=seed).model
        for seed in range(seeds)
    ]
    corners = []
    for name, corner in CORNERS.items():
        options = {**corner, **CONSTANT}
        runs = [
            forget(original, splits, forgotten, method="pte", options=options, seed=seed)
            for seed, original in enumerate(originals)
            for forgotten in range(len(splits.classes))
        ]
        losses = [run["retained_loss"] for run in runs]
        corners.append(
            {
                "corner": name,
                "options": options,
                "runs": len(runs),
                "forget_held_out_mean": mean(run["after"]["forget_held_out"] for run in runs),
                "forget_held_out_max": max(run["after"]["forget_held_out"] for run in runs),
                "retained_loss_mean": mean(losses),
                "retained_loss_spread": round(statistics.pstdev(losses), 3),
                "retained_loss_worst": max(losses),
                "class_loss_worst": max(run["worst_class"]["loss"] for run in runs),
                "epochs_mean": mean(run["epochs"] for run in runs),
            }
        )
        print(json.dumps(corners[-1]))
    return corners


if __name__ == "__main__":
    sys.exit(main())
