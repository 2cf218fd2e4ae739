"""The tables of docs/methods/{pte,prune,calibrated}.md and docs/evaluation.md, from results.

    python benchmarks/tables.py

Prints Markdown; a test holds the page to it.
"""

import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
DATA = ("digits", "cwru", "watch", "fashion_mnist")


def main() -> int:
    """Print every table."""
    tables = (
        class_forgetting,
        ablation,
        inside,
        intensity,
        quarantine,
        controls,
        cost,
        ladder,
        search,
        people,
        people_by_person,
        people_signed,
        people_choice,
        people_runs,
    )
    print("\n\n".join(table() for table in tables))
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


def inside() -> str:
    """One row per variant of PTE and data set: what the hidden layers still hold."""
    head = ("data", "variant", "relearn, mean position", "loss, mean", "loss, worst", "verdicts")
    rows = []
    for name, result in _results("inside"):
        for variant in dict.fromkeys(run["variant"] for run in result["runs"]):
            runs = [run for run in result["runs"] if run["variant"] == variant]
            losses = [run["retained_loss"] for run in runs]
            rows.append(
                (
                    name,
                    variant,
                    _mean([run["positions"].get("relearn") for run in runs]),
                    f"{statistics.fmean(losses):+.2f}",
                    f"{max(losses):+.2f}",
                    _counted(run["verdict"] for run in runs),
                )
            )
    return _table(head, rows)


def intensity() -> str:
    """One row per method, intensity and data set; the hypervolume of all at the full one."""
    head = (
        "data",
        "method",
        "intensity",
        "recognised, training",
        "forgetting",
        "fidelity",
        "front",
        "hypervolume: this alone",
        "all",
    )
    rows = []
    for name, result in _results("intensity"):
        for method, found in result["summary"].items():
            for line in found["lines"]:
                full = line["intensity"] == 1
                rows.append(
                    (
                        name,
                        f"`{method}`",
                        f"{line['intensity']:g}",
                        f"{line['recognised_train']:.1f}",
                        f"{line['forgetting']:.1f}",
                        f"{line['fidelity']:.2f}",
                        "yes" if line["front"] else "no",
                        _interval(found["hypervolume_full_alone"]) if full else "",
                        _interval(found["hypervolume"]) if full else "",
                    )
                )
    return _table(head, rows)


PEOPLE = ("membership_auc", "person_train", "others_held_out")  # columns, in their order
PEOPLE_HEAD = (
    "area (AUC)",
    "accuracy, the person's training rows, points",
    "accuracy, others' held-out rows, points",
)


def people() -> str:
    """Distances to the network retrained without the person, and how far apart two of these are."""
    found = _result("person_forgetting_watch")["summary"]
    lines = {
        "original network": found["before"],
        "after `calibrated`": found["after"],
        "another network retrained without the person": found["floor"],
    }
    return _table(
        ("network", *PEOPLE_HEAD), [(name, *_distances(line)) for name, line in lines.items()]
    )


def people_by_person() -> str:
    """The mean over people of what is left of each person's distance in the mean over seeds."""
    found = _result("person_forgetting_watch")["summary"]["by_person"]
    lines = {"original network": found["before"], "after `calibrated`": found["after"]}
    return _table(
        ("network", *PEOPLE_HEAD), [(name, *_distances(line)) for name, line in lines.items()]
    )


def people_signed() -> str:
    """The same with their sign, and half of the 95 % interval over people."""
    found = _result("person_forgetting_watch")["summary"]["signed"]
    rows = []
    for name, when in (("original network", "before"), ("after `calibrated`", "after")):
        (auc, wide), *rest = (found[when][column] for column in PEOPLE)
        points = [f"{mean:.2f} ± {half:.2f}" for mean, half in rest]
        rows.append((name, f"{auc:.4f} ± {wide:.4f}", *points))
    return _table(("network", *PEOPLE_HEAD), rows)


def people_choice() -> str:
    """Distances with other settings and other seeds, by which settings were chosen."""
    rows = []
    for one in _result("person_choice_watch"):
        options = one["options"]
        settings = (one["temperature"], options["hold_weight"], options["pull_weight"])
        worst = one["summary"]["after_worst_seed"]["others_held_out"]
        rows.append((settings, (*_distances(one["summary"]["after"]), f"{worst:.2f}")))
    head = ("temperature", "`hold_weight`", "`pull_weight`", *PEOPLE_HEAD, "the last, worst seed")
    shown = [(*(f"{value:g}" for value in settings), *cells) for settings, cells in sorted(rows)]
    return _table(head, shown)


def people_runs() -> str:
    """Every run: before, after, and retrained without the person."""
    head = (
        "seed",
        "person",
        "rows",
        "area against their own held-out rows",
        "accuracy, their training rows",
        "accuracy, held-out rows of the others",
    )
    rows = []
    for run in _result("person_forgetting_watch")["runs"]:
        figures = [
            " / ".join(f"{run[when][name]:.{digits}f}" for when in ("before", "after", "retrained"))
            for name, digits in zip(PEOPLE, (3, 1, 1), strict=True)
        ]
        rows.append((str(run["seed"]), str(run["person"]), str(run["rows"]), *figures))
    return _table(head, rows)


def _distances(found: Mapping[str, float]) -> tuple[str, ...]:
    auc, *points = (found[name] for name in PEOPLE)
    return (f"{auc:.4f}", *(f"{value:.2f}" for value in points))


def _result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def ladder() -> str:
    """How many edits of each method pass the default gates; loss of retained accuracy in points."""
    named = {
        "digits, classes": "digits_class",
        "CWRU, classes": "cwru_class",
        "digits, rows": "digits_samples",
    }
    found = {column: _result(f"ladder_{name}")["summary"] for column, name in named.items()}
    methods = dict.fromkeys(method for summary in found.values() for method in summary)
    ordered = sorted(methods, key=lambda method: method == "retrain")
    rows = [
        (f"`{method}`", *(_passed(summary.get(method)) for summary in found.values()))
        for method in ordered
    ]
    return _table(("method", *named), rows)


def _passed(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return ""
    counted = f"{one['passed']} of {one['requests']}"
    if one["retained_loss_mean"] is None:
        return counted
    return f"{counted}; {one['retained_loss_mean']:.2f} / {one['retained_loss_worst']:.2f}"


def search() -> str:
    """Whether a search's score agrees with retained rows, and what it finds."""
    head = (
        "data",
        "method",
        "correlation",
        "least, largest",
        "loss: own / found / best",
        "worst: own / found",
        "found worse / better than own",
    )
    rows = []
    for data in ("digits", "cwru"):
        for method, one in _result(f"search_{data}")["summary"].items():
            ranks = one["rank_drift"]
            losses = (one["default_mean"], one["found_mean"], one["best_mean"])
            worse, better = one["worse_than_default"], one["better_than_default"]
            rows.append(
                (
                    data,
                    f"`{method}`",
                    f"{ranks['mean']:.2f} ± {ranks['spread_over_seeds']:.2f}",
                    f"{ranks['least']:.2f}, {ranks['largest']:.2f}",
                    " / ".join(f"{loss:.2f}" for loss in losses),
                    f"{one['default_worst']:.2f} / {one['found_worst']:.2f}",
                    f"{worse} / {better} of {one['searches']}",
                )
            )
    return _table(head, rows)


def controls() -> str:
    """One row per network whose verdict is known, and PTE's, and data set."""
    head = (
        "data",
        "network",
        "verdicts",
        "against a fresh network alone",
        "relearn",
        "linear probe, 2 %",
        "likeness",
    )
    rows = []
    for name, result in _results("negative_controls"):
        for control in dict.fromkeys(run["control"] for run in result["runs"]):
            runs = [run for run in result["runs"] if run["control"] == control]
            positions = [
                _mean([run["positions"].get(reading) for run in runs])
                for reading in ("relearn", "linear_probe_2", "likeness")
            ]
            verdicts = [_counted(run[key] for run in runs) for key in ("verdict", "against_fresh")]
            rows.append((name, control, *verdicts, *positions))
    return _table(head, rows)


def cost() -> str:
    """One row per data set: what measuring takes, as a share of the edit."""
    head = ("data", "forget rows alone, mean / worst", "all rows, mean")
    rows = [
        (
            name,
            f"{s['forget_only_ratio_mean']:.2f} / {s['forget_only_ratio_worst']:.2f}",
            f"{s['all_rows_ratio_mean']:.1f}",
        )
        for name, result in _results("evaluation_cost")
        for s in [result["summary"]]
    ]
    return _table(head, rows)


def quarantine() -> str:
    """One row per data set and kind of block: how much is blocked, how fast, at what cost."""
    head = (
        "data",
        "asked for, reach",
        "seconds, mean / worst",
        "regions, mean",
        "rows blocked / certified, mean",
        "held-out rows blocked, mean / least",
        "loss, mean / worst",
    )
    rows = []
    for name, result in _results("quarantine"):
        for case in result["summary"]:
            unseen = case["blocked_held_out_mean"]
            losses = [case[f"retained_held_out_loss_{which}"] for which in ("mean", "worst")]
            rows.append(
                (
                    name,
                    f"{case['asked']}, {case['reach']}",
                    f"{case['seconds_mean']:.2f} / {case['seconds_worst']:.2f}",
                    f"{case['regions_mean']:.0f}",
                    f"{case['blocked_mean']:.1f} / {case['certified_mean']:.1f} %",
                    "none asked for"
                    if unseen is None
                    else f"{unseen:.1f} / {case['blocked_held_out_least']:.1f} %",
                    " / ".join(f"{loss + 0.0:+.2f}" for loss in losses),
                )
            )
    return _table(head, rows)


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.2f}" if known else "cannot tell"


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.3f} ± {found['half_width']:.3f}"


def _counted(values: Iterable[str]) -> str:
    return ", ".join(f"{value} {count}" for value, count in sorted(Counter(values).items()))


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
