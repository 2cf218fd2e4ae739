"""The picture of a comparison: forgetting against fidelity, with time."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from PIL import Image

from lethe.evaluation.comparison.row import RETRAIN
from lethe.evaluation.comparison.summary import NOTHING_DONE, Line
from lethe.evaluation.drawing import (
    AFTER,
    BEFORE,
    FAINT,
    FORGOTTEN,
    INK,
    PAPER,
    RETRAINED,
    SMALL,
    new_figure,
    save,
    style,
)

COLOURS = 64
# Below this two methods cannot be told apart, and a logarithm needs an end.
LEAST = 1e-4
# Names of points nearer than this, in typographic points, are kept so far apart.
NEAR, ROOM = 110, 12
MARGIN = 0.04  # of the axis


def pareto_plot(lines: Sequence[Line], title: str) -> Figure:
    """Distance to retraining on forgotten rows (x) and on retained rows (y), time as size.

    Both axes are logarithmic and in points; the best is at the lower left. What no other method
    beats in all three is filled and named in bold.
    """
    figure = new_figure(5.2, title)
    axes = figure.add_subplot()
    style(axes, grid="both")
    named: list[tuple[float, float, Line]] = []
    for line in sorted(lines, key=_size, reverse=True):  # small ones lie on top of large ones
        if line.forget_gap is None or line.retained_gap is None:
            continue
        x, y = (100 * max(gap.mean, LEAST) for gap in (line.forget_gap, line.retained_gap))
        colour = {RETRAIN: RETRAINED, NOTHING_DONE: FORGOTTEN}.get(
            line.method, BEFORE if line.needs == "retain" else AFTER
        )
        axes.scatter(
            x, y, s=_size(line), facecolor=colour if line.on_front else PAPER, edgecolor=colour,
            linewidth=1.6, zorder=3,
        )  # fmt: skip
        named.append((x, y, line))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()  # whole powers of ten, so that two ticks at least are in sight
    axes.set_ylim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))
    if named:  # from a power of ten too, with room for half of a large point at either end
        start = math.floor(math.log10(min(x for x, _, _ in named)))
        end = math.log10(max(x for x, _, _ in named))
        room = MARGIN * max(end - start, 1)
        axes.set_xlim(10 ** (start - room), 10 ** (end + room))
    axes.tick_params(which="minor", length=0)
    _write_names(axes, named)
    axes.set_xlabel(
        "forgetting: distance to the retrained network on forgotten rows, points", color=FAINT
    )
    axes.set_ylabel("fidelity: the same on retained rows, points", color=FAINT)
    axes.text(
        0, -0.16,
        "Lower left is best. Size: time as a share of retraining. Filled: beaten by no other "
        "in all three.\nBlue: forget rows alone. Grey: learns from retained rows. Green: retrained "
        "with another seed. Orange: nothing done.",
        transform=axes.transAxes, fontsize=SMALL - 1.5, color=FAINT, va="top",
    )  # fmt: skip
    return figure


def _size(line: Line) -> float:
    """Area of a point, in square typographic points."""
    return 30 if line.time_share is None else 30 + 170 * min(line.time_share.mean, 2.0)


def _write_names(axes: Axes, named: Sequence[tuple[float, float, Line]]) -> None:
    """Write names beside their points, one above the other where points are near, with a line."""
    places = [tuple(axes.transData.transform((x, y))) for x, y, _ in named]
    dots = axes.figure.dpi / 72
    middle = axes.transAxes.transform((0.75, 0))[0]
    written: list[tuple[float, float]] = []
    for (x, y), (data_x, data_y, line) in sorted(
        zip(places, named, strict=True), key=lambda pair: pair[0][::-1]
    ):
        height = y
        while any(abs(x - a) < NEAR * dots and abs(height - b) < ROOM * dots for a, b in written):
            height += dots
        written.append((x, height))
        left = x > middle
        moved = (height - y) / dots
        axes.annotate(
            line.method, (data_x, data_y), xytext=(-16 if left else 16, moved),
            textcoords="offset points", fontsize=SMALL - 1.5, color=INK,
            ha="right" if left else "left", va="center",
            weight="bold" if line.on_front else "normal",
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkB": 4,
                        "relpos": (1, 0.5) if left else (0, 0.5)},
        )  # fmt: skip


def save_small(figure: Figure, path: Path) -> None:
    """Write a PNG in a palette of 64 colours: small enough to be committed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(
            COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        ).save(path, optimize=True)
