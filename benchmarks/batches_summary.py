"""What the runs of benchmarks/batches.py come to: figures and a picture."""

import statistics
from pathlib import Path
from typing import Any


def summarise(runs: list[dict[str, Any]], bar: float) -> dict[str, Any]:
    """Medians with their spread, the ratio within each turn, and which bar is missed."""
    usual, fewest = runs[0]["rows_per_identity"], min(run["requests"] for run in runs)
    most = max(run["requests"] for run in runs)
    points = []
    for rows, count in dict.fromkeys((r["rows_per_identity"], r["requests"]) for r in runs):
        same = [r for r in runs if (r["rows_per_identity"], r["requests"]) == (rows, count)]
        point = {"rows_per_identity": rows, "rows": same[0]["rows"], "requests": count}
        for name in ("seconds", "cpu", "computing", "overhead", "filing"):
            values = [run[name] for run in same]
            point[name] = round(statistics.median(values), 2)
            point[f"{name}_spread"] = [round(min(values), 2), round(max(values), 2)]
        points.append(point)
    ratios = {}
    for clock in ("seconds", "cpu", "computing", "overhead"):
        one, many = (
            {
                r["turn"]: r[clock]
                for r in runs
                if (r["rows_per_identity"], r["requests"]) == (usual, count)
            }
            for count in (fewest, most)
        )
        ratios[clock] = [round(many[turn] / one[turn], 2) for turn in sorted(one)]
    wrong = [
        r
        for r in runs
        if r["successors"] != 1 or r["batches"] != 1 or r["completed"] != r["requests"]
    ]
    middle = statistics.median(ratios["seconds"])
    missed = [f"{len(wrong)} runs did not complete every request by one edit"] if wrong else []
    if middle > bar:
        missed.append(f"{most} requests took {middle} times as long as one")
    return {
        "bar_ratio": bar,
        "most_requests_over_one_within_a_turn": ratios,
        "missed": missed,
        "points": points,
        "runs": runs,
    }


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Both series side by side, medians with their spread."""
    from lethe.evaluation import drawing

    most = max(point["requests"] for point in points)
    usual = [
        point for point in points if point["rows_per_identity"] == points[0]["rows_per_identity"]
    ]
    grown = [point for point in points if point["requests"] == most]
    usual.sort(key=lambda point: point["requests"])
    grown.sort(key=lambda point: point["rows"])
    figure = drawing.new_figure(
        3.6, f"{most:,} requests are one edit: the time it takes follows the rows to forget"
    )
    sides = figure.subplots(1, 2, sharey=True)
    series = (
        ("requests", usual, f"requests for the same {usual[0]['rows']:,} rows"),
        ("rows", grown, f"rows that {most:,} requests ask for"),
    )
    for axes, (name, shown, words) in zip(sides, series, strict=True):
        drawing.style(axes, grid="y")
        axes.set_xscale("log", base=10 if name == "requests" else 2)
        xs = [point[name] for point in shown]
        axes.set_xticks(xs, [f"{x:,}" for x in xs])
        axes.minorticks_off()
        axes.set_xlabel(words, color=drawing.INK, fontsize=drawing.SMALL)
        for part, colour, label in (
            ("seconds", drawing.INK, "whole flow"),
            ("computing", drawing.AFTER, "probe, edit and evaluation"),
            ("overhead", drawing.FORGOTTEN, "everything else"),
        ):
            ys = [point[part] for point in shown]
            ends = [point[f"{part}_spread"] for point in shown]
            spread = [
                [y - low for y, (low, _) in zip(ys, ends, strict=True)],
                [high - y for y, (_, high) in zip(ys, ends, strict=True)],
            ]
            axes.errorbar(
                xs,
                ys,
                yerr=spread,
                color=colour,
                marker="o",
                ms=4,
                lw=1.8,
                elinewidth=1,
                capsize=3,
                label=label,
            )
    sides[0].set_ylim(0)
    sides[0].set_ylabel("seconds", color=drawing.INK, fontsize=drawing.SMALL)
    drawing.legend_below(figure, sides[0])
    drawing.save(figure, path)
