"""Does the score of a search, which sees no retained row, rank settings as retained rows would?

    python benchmarks/search.py --data digits --seeds 3
    python benchmarks/search.py --data cwru --seeds 2

Per seed some classes and a few methods: the search tries settings on four fifths of the forget
rows; then the same settings edit on all of them, and that edit is measured on held-out rows. Rank
correlations (Spearman) are over the trials of one search, between what the search saw and the loss
of accuracy on retained held-out rows in points. `found` is the loss with the settings that the
search chose, `default` with the method's own. Writes search_<name>.json into benchmarks/results.
"""

import argparse
import json
import statistics
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from class_forgetting import (
    RESULTS,
    Splits,
    accuracies,
    facts,
    mean,
    only,
    read,
    read_recipe,
    write,
)
from scipy.stats import ConstantInputWarning, spearmanr
from torch import nn

from lethe.models.training import new_network, train
from lethe.unlearning.method import Context, ForgetTarget, load_method
from lethe.unlearning.search import search

METHODS = ("pte", "delete", "gradient_ascent")
CLASSES = 3  # per seed, beginning at another one each time


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, choices=["digits", "cwru"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=8)
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    runs: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        original = train(new_network(recipe, seed=seed), splits.train, recipe, seed=seed).model
        for gone in chosen(seed, len(splits.classes)):
            for name in METHODS:
                run = searched(
                    original, splits, gone, method=name, seed=seed, budget=arguments.budget
                )
                runs.append(run)
                print(json.dumps({key: run[key] for key in run if key != "trials"}), flush=True)
    summary = {name: summarise([run for run in runs if run["method"] == name]) for name in METHODS}
    print(json.dumps(summary, indent=2))
    if not arguments.no_write:
        known = facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=1)
        result = {**known, "budget": arguments.budget, "summary": summary, "runs": runs}
        write(RESULTS / f"search_{arguments.data}.json", result)
    return 0


def chosen(seed: int, classes: int) -> Iterator[int]:
    """A few classes, others for each seed as far as there are so many."""
    return iter(sorted({(CLASSES * seed + at) % classes for at in range(CLASSES)}))


def searched(
    original: nn.Module, splits: Splits, gone: int, *, method: str, seed: int, budget: int
) -> dict[str, Any]:
    """One search, every one of its settings measured on retained rows, and what agrees."""
    target, context = ForgetTarget(only(splits.train, gone), "class", (gone,)), Context(seed=seed)
    before = accuracies(original, splits, gone)
    found = search(method, original, target, context, budget=budget)
    trials: list[dict[str, Any]] = []
    for trial in found.trials:
        if trial.error is not None:
            continue
        one = load_method(method, trial.options)
        edit = one.edit(original, target, one.probe(original, target, context), context)
        after = accuracies(edit.model, splits, gone)
        trials.append(
            {
                "options": trial.options,
                "forgotten": round(trial.forgotten, 4),
                "drift": float(f"{trial.drift:.4g}"),
                "score": float(f"{trial.score:.4g}"),
                "forget_held_out": after["forget_held_out"],
                "retained_loss": round(before["retained_held_out"] - after["retained_held_out"], 3),
            }
        )
    by_options = {json.dumps(trial["options"]): trial for trial in trials}
    losses = [trial["retained_loss"] for trial in trials]
    return {
        "seed": seed,
        "class": splits.classes[gone],
        "method": method,
        "rank_drift": rank([trial["drift"] for trial in trials], losses),
        "rank_score": rank([trial["score"] for trial in trials], losses),
        "default": trials[0]["retained_loss"],
        "found": by_options[json.dumps(found.options)]["retained_loss"],
        "best": min(losses),
        "found_forget_held_out": by_options[json.dumps(found.options)]["forget_held_out"],
        "found_options": found.options,
        "seconds": round(found.seconds, 2),
        "trials": trials,
    }


def rank(seen: Sequence[float], losses: Sequence[float]) -> float | None:
    """Spearman's correlation; None where one of the two does not vary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        value = float(spearmanr(seen, losses).statistic)
    return None if value != value else round(value, 3)  # noqa: PLR0124 (NaN alone differs from itself)


def summarise(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over searches, and the spread of the correlation over seeds and over searches."""
    summary: dict[str, Any] = {"searches": len(runs)}
    for key in ("rank_drift", "rank_score"):
        known = [run[key] for run in runs if run[key] is not None]
        seeds = [
            statistics.fmean(each)
            for seed in sorted({run["seed"] for run in runs})
            if (each := [r[key] for r in runs if r["seed"] == seed and r[key] is not None])
        ]
        summary[key] = {
            "searches": len(known),
            "mean": mean(known) if known else None,
            "least": min(known, default=None),
            "largest": max(known, default=None),
            "spread_over_seeds": round(statistics.stdev(seeds), 3) if len(seeds) > 1 else None,
        }
    for key in ("default", "found", "best", "seconds"):
        summary[f"{key}_mean"] = mean(run[key] for run in runs)
    summary["found_worst"] = max(run["found"] for run in runs)
    summary["default_worst"] = max(run["default"] for run in runs)
    summary["worse_than_default"] = sum(run["found"] > run["default"] for run in runs)
    summary["better_than_default"] = sum(run["found"] < run["default"] for run in runs)
    summary["found_forget_held_out_worst"] = max(run["found_forget_held_out"] for run in runs)
    return summary


if __name__ == "__main__":
    sys.exit(main())
