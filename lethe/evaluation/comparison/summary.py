"""From cells to a table: means over requests, intervals over seeds, bars, who is ahead.

    lines = summarise(rows)                 # one per method, nearest to retraining first
    lines[0].method, lines[0].gap.mean, lines[0].gap.low

A figure of a seed is the mean over its requests. Its interval is Student's t over the seeds' means
(95 %, seeds - 1 degrees of freedom): it says how far another set of seeds may be off, not another
data set. With one seed there is none.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from lethe.evaluation.comparison.row import RETRAIN, Row, mean_gap
from lethe.evaluation.results import Part

NOTHING_DONE = "(nothing done)"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over seeds; `low` and `high` are None with fewer than two seeds."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """One method on one data set.

    `gap` is the mean |gap to retraining| over forget, retained and held-out accuracy;
    `forget_gap` and `retained_gap` are its two sides. `worst_request` is the largest
    `retained_loss` of any request and seed, `worst_class_loss` the largest loss of one retained
    class in any of them. `membership_gap` is the mean distance of the attack's area to the
    retrained network's, `time_share` the method's time as a share of retraining's. Everything is
    None where every cell failed. `on_front` says that no other method is as near on both sides and
    as fast. `failed_gates` counts, for each gate, the cells that did not pass it.
    """

    method: str
    needs: str
    seeds: int
    cells: int
    failed: int
    gap: Interval | None = None
    forget_gap: Interval | None = None
    retained_gap: Interval | None = None
    forget_train_worst: float | None = None
    forget_held_out: Interval | None = None
    forget_held_out_worst: float | None = None
    retained_loss: Interval | None = None
    worst_request: float | None = None
    worst_class: str | None = None
    worst_class_loss: float | None = None
    membership_gap: Interval | None = None
    seconds: Interval | None = None
    time_share: Interval | None = None
    search_seconds: float = 0.0
    verdicts: tuple[tuple[str, int], ...] = ()
    failed_gates: tuple[tuple[str, int], ...] = ()
    on_front: bool = False


def interval(values: Sequence[float]) -> Interval:
    """Mean and Student's t interval of one value per seed."""
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean)
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half)


def over_seeds(rows: Iterable[Row], figure: Callable[[Row], float | None]) -> Interval | None:
    """Mean over the requests of each seed, then over seeds; None when nothing was measured."""
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        value = figure(row)
        if value is not None:
            by_seed.setdefault(row.seed, []).append(value)
    return interval([fmean(by_seed[seed]) for seed in sorted(by_seed)]) if by_seed else None


def summarise(rows: Sequence[Row]) -> list[Line]:
    """One line per method and one for doing nothing, by mean gap; what failed throughout is last.

    Raises:
        ValueError: if the rows are of more than one data set or kind of target.
    """
    kinds = {(row.data, row.target_kind) for row in rows}
    if len(kinds) != 1:
        raise ValueError(f"a table is of one data set and kind of request, not {len(kinds)}")
    lines = [
        _line(method, [row for row in rows if row.method == method])
        for method in dict.fromkeys(row.method for row in rows)
    ]
    front = _front(lines)
    lines = [replace(line, on_front=line.method in front) for line in lines]
    if any(row.failed is None for row in rows):
        lines.append(_nothing_done(rows))
    return sorted(lines, key=lambda line: float("inf") if line.gap is None else line.gap.mean)


def side_gaps(row: Row) -> tuple[float | None, float | None]:
    """Mean absolute gaps of the forgotten rows and of the retained ones."""
    retained = [
        abs(value)
        for value in (row.gap_retained_train, row.gap_retained_held_out)
        if value is not None
    ]
    forget = None if row.gap_forget_train is None else abs(row.gap_forget_train)
    return forget, fmean(retained) if retained else None


def time_share(row: Row) -> float | None:
    """Time as a share of retraining: of the processor, which others do not disturb, or of a clock.

    On an accelerator processor time says little, and nobody else computes there.
    """
    return row.cpu_ratio if row.device == "cpu" else row.time_ratio


def _line(method: str, rows: Sequence[Row]) -> Line:
    good = [row for row in rows if row.failed is None]
    counts: dict[str, Any] = {"seeds": len({r.seed for r in rows}), "cells": len(rows)}
    line = Line(method=method, needs=rows[0].needs, failed=len(rows) - len(good), **counts)
    if not good:
        return line
    worst = max(good, key=lambda row: _or_least(row.worst_class_loss))
    return Line(
        method=method,
        needs=line.needs,
        failed=line.failed,
        **counts,
        gap=over_seeds(good, lambda row: row.gap),
        forget_gap=over_seeds(good, lambda row: side_gaps(row)[0]),
        retained_gap=over_seeds(good, lambda row: side_gaps(row)[1]),
        forget_train_worst=_most(row.after_forget_train for row in good),
        forget_held_out=over_seeds(good, lambda row: row.after_forget_held_out),
        forget_held_out_worst=_most(row.after_forget_held_out for row in good),
        retained_loss=over_seeds(good, lambda row: row.retained_loss),
        worst_request=_most(row.retained_loss for row in good),
        worst_class=worst.worst_class,
        worst_class_loss=worst.worst_class_loss,
        membership_gap=over_seeds(good, _membership_gap),
        seconds=over_seeds(good, lambda row: row.seconds),
        time_share=over_seeds(good, time_share),
        search_seconds=fmean(row.search_seconds for row in good),
        verdicts=tuple(sorted(Counter(row.verdict for row in good if row.verdict).items())),
        failed_gates=tuple(sorted(Counter(_failed_gates(good)).items())),
    )


def _failed_gates(rows: Iterable[Row]) -> Iterator[str]:
    """The name of every gate, once for each row that did not pass it."""
    for row in rows:
        yield from filter(None, (row.failed_gates or "").split(","))


def _nothing_done(rows: Sequence[Row]) -> Line:
    """The original network against the retrained one, each request and seed once."""
    once = {(row.target, row.seed): row for row in rows if row.failed is None}
    return _line(NOTHING_DONE, [_undone(row) for row in once.values()])


def _undone(row: Row) -> Row:
    changes: dict[str, Any] = {}
    for part in Part:
        was, there = getattr(row, f"before_{part}"), getattr(row, f"retrained_{part}")
        changes[f"after_{part}"] = was
        changes[f"gap_{part}"] = None if was is None or there is None else was - there
    unknown = ("seconds", "cpu_seconds", "time_ratio", "cpu_ratio", "verdict", "failed_gates")
    no_time: dict[str, Any] = dict.fromkeys(unknown)
    return replace(
        row,
        method=NOTHING_DONE,
        needs="",
        gap=mean_gap(changes),
        retained_loss=None if row.before_retained_held_out is None else 0.0,
        worst_class=None,
        worst_class_loss=None,
        membership_after=row.membership_before,
        search_seconds=0.0,
        **changes,
        **no_time,
    )


def _front(lines: Sequence[Line]) -> set[str]:
    """Methods that no other one beats on both sides of the gap and in time; retraining apart."""
    from lethe.evaluation.fronts import pareto

    points = {
        line.method: (-line.forget_gap.mean, -line.retained_gap.mean, -line.time_share.mean)
        for line in lines
        if line.method != RETRAIN and line.forget_gap and line.retained_gap and line.time_share
    }
    mask = pareto(list(points.values()))
    return {name for name, on in zip(points, mask, strict=True) if on}


def _membership_gap(row: Row) -> float | None:
    if row.membership_after is None or row.membership_retrained is None:
        return None
    return abs(row.membership_after - row.membership_retrained)


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _or_least(value: float | None) -> float:
    return -1.0 if value is None else value
