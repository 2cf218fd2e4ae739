"""What an intensity buys: forgetting against fidelity, from unchanged to full, and the whole front.

    python benchmarks/intensity.py --data digits --seeds 3
    python benchmarks/intensity.py --draw      # the picture again, from the result file

Each class in turn, PTE and gradient ascent at each intensity. Forgetting is the share of the
class's held-out rows that are not recognised, fidelity the accuracy on the held-out rows of the
others; both are means over the classes. The hypervolume is what the set of all intensities
dominates above forgetting 0 and fidelity 90 %, as a share of the best possible; its mean over seeds
has a 95 % interval by Student's t. Writes benchmarks/results/intensity_<name>.json and a picture.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from class_forgetting import (
    RESULTS,
    ROOT,
    Splits,
    accuracies,
    facts,
    only,
    read,
    read_recipe,
    write,
)
from torch import nn

from lethe.evaluation.fronts import hypervolume, pareto
from lethe.models.training import new_network, train
from lethe.unlearning.method import Context, ForgetTarget, load_method

METHODS = ("pte", "gradient_ascent")
INTENSITIES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0)
REFERENCE = (0.0, 90.0)  # forgetting, fidelity, in percent
BEST = (100.0, 100.0)
PICTURE = ROOT / "docs" / "images" / "intensity.png"


def main() -> int:
    """Measure, print, write the result and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", choices=["digits", "cwru", "watch"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--no-write", action="store_true", help="leave file and picture alone")
    parser.add_argument("--draw", action="store_true", help="only draw what was measured")
    arguments = parser.parse_args()

    path = RESULTS / f"intensity_{arguments.data}.json"
    if arguments.draw:
        draw(json.loads(path.read_text(encoding="utf-8")), PICTURE)
        return 0
    torch.set_num_threads(arguments.threads)
    splits, recipe = read(arguments.data), read_recipe(arguments.data)
    runs = []
    for seed in range(arguments.seeds):
        model = train(new_network(recipe, seed=seed), splits.train, recipe, seed=seed).model
        for method in METHODS:
            for intensity in INTENSITIES:
                runs.append(measure(model, splits, method, intensity, seed))
                print(json.dumps(runs[-1]), flush=True)
    result = {
        **facts(arguments.data, splits, recipe, seeds=arguments.seeds, threads=arguments.threads),
        "reference": REFERENCE,
        "summary": {method: summarise(runs, method) for method in METHODS},
        "runs": runs,
    }
    print(json.dumps(result["summary"], indent=1))
    if not arguments.no_write:
        write(path, result)
        draw(result, PICTURE)
    return 0


def measure(
    model: nn.Module, splits: Splits, name: str, intensity: float, seed: int
) -> dict[str, Any]:
    """Forgetting and fidelity in percent, means over the classes."""
    method = load_method(name, {"intensity": intensity})
    found, epochs = [], []
    for label in range(len(splits.classes)):
        target, context = (
            ForgetTarget(only(splits.train, label), "class", (label,)),
            Context(seed=seed),
        )
        edit = method.edit(model, target, method.probe(model, target, context), context)
        found.append(accuracies(edit.model, splits, label))
        epochs.append(edit.epochs)
    return {
        "method": name,
        "intensity": intensity,
        "seed": seed,
        "recognised_train": mean(one["forget_train"] for one in found),
        "forgetting": round(100 - mean(one["forget_held_out"] for one in found), 3),
        "fidelity": mean(one["retained_held_out"] for one in found),
        "epochs": mean(epochs),
    }


def summarise(runs: Sequence[Mapping[str, Any]], method: str) -> dict[str, Any]:
    """One line per intensity, and the hypervolume of all of them and of the full edit alone."""
    mine = [run for run in runs if run["method"] == method]
    lines = [
        {
            "intensity": intensity,
            **{
                name: mean(run[name] for run in mine if run["intensity"] == intensity)
                for name in ("recognised_train", "forgetting", "fidelity", "epochs")
            },
        }
        for intensity in INTENSITIES
    ]
    on = pareto([(line["forgetting"], line["fidelity"]) for line in lines])
    for line, front in zip(lines, on.tolist(), strict=True):
        line["front"] = front
    seeds = sorted({run["seed"] for run in mine})
    sets = [[run for run in mine if run["seed"] == seed] for seed in seeds]
    full = [[run for run in runs if run["intensity"] == 1] for runs in sets]
    return {
        "lines": lines,
        "hypervolume": interval([volume(one) for one in sets]),
        "hypervolume_full_alone": interval([volume(one) for one in full]),
    }


def volume(runs: Sequence[Mapping[str, Any]]) -> float:
    """The hypervolume of these runs, as a share of the best possible."""
    points = [(run["forgetting"], run["fidelity"]) for run in runs]
    return hypervolume(points, REFERENCE) / hypervolume([BEST], REFERENCE)


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean and half of the 95 % interval over seeds; None for a single seed."""
    from scipy import stats

    half = None
    if len(values) > 1:
        error = statistics.stdev(values) / len(values) ** 0.5
        half = round(float(stats.t.ppf(0.975, len(values) - 1)) * error, 4)
    return {"mean": round(statistics.fmean(values), 4), "half_width": half, "seeds": len(values)}


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Both fronts in one picture."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from PIL import Image

    look = {"pte": ("#1f77b4", "o", "PTE"), "gradient_ascent": ("#d95f02", "s", "gradient ascent")}
    figure, axes = plt.subplots(figsize=(7.2, 4.2), dpi=120, facecolor="white")
    for name, found in result["summary"].items():
        color, marker, label = look[name]
        lines = found["lines"]
        x, y = ([line[key] for line in lines] for key in ("forgetting", "fidelity"))
        axes.plot(x, y, color=color, marker=marker, markersize=6, linewidth=1.6, label=label)
        for line in lines:
            steep = name != "pte" and line["forgetting"] > 95
            if line["intensity"] in {0.3, 0.5, 0.7, 1.0} or steep:
                axes.annotate(
                    f"{line['intensity']:g}",
                    (line["forgetting"], line["fidelity"]),
                    xytext=(-7, -3 if line["forgetting"] > 98 else -14)
                    if steep
                    else (0, 8 if name == "pte" else -15),
                    textcoords="offset points",
                    color=color,
                    ha="right" if steep else "center",
                    fontsize=9,
                )
    axes.set_xlabel("forgetting: share of the class's held-out rows not recognised, %")
    axes.set_ylabel("fidelity: accuracy on the others, %")
    axes.set_xlim(-3, 105)
    axes.margins(y=0.12)
    axes.grid(color="#dddddd", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", frameon=False, title="numbers: intensity", alignment="left")
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(64).save(path, optimize=True)


def mean(values: Any) -> float:
    """The mean with three decimals."""
    return round(statistics.fmean(values), 3)


if __name__ == "__main__":
    sys.exit(main())
