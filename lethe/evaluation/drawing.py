"""How the pictures look: palette, figure, axes, and writing a file.

Figures are made without pyplot, so that nothing is shared between threads and none needs closing.
Colours are Okabe and Ito's, which colour-blind readers can tell apart; the ground is always light,
so that a picture reads the same on a light and on a dark page.
"""

from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

INK, FAINT, GRID, PAPER = "#1b2430", "#5b6776", "#dfe4ea", "#fbfcfd"
BEFORE, AFTER, RETRAINED, FORGOTTEN = "#9aa6b2", "#0072b2", "#009e73", "#d55e00"
FRESH = "#cc79a7"
WIDTH = 8.0
DPI = 150
SMALL = 9.5


def save(figure: Figure, path: Path) -> str:
    """Write a PNG of 150 dots per inch without time stamp or version: same figure, same file.

    Returns:
        The figure's title, which serves as the picture's text for those who cannot see it.
    """
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
    return figure.get_suptitle()


def new_figure(height: float, title: str) -> Figure:
    """A figure of the common width, with a title that says what is to be seen."""
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07)
    figure = Figure(figsize=(WIDTH, height), layout=layout, facecolor=PAPER)
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.012, ha="left", fontsize=12.5, weight="bold", color=INK, wrap=True)
    return figure


def style(axes: Axes, *, grid: Literal["both", "x", "y"]) -> None:
    """Quiet axes: a faint grid behind the data and one line below it."""
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=GRID, lw=0.8)
    axes.tick_params(colors=INK, labelsize=SMALL, length=0, pad=6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=GRID, zorder=0)


def percent_axis(axes: Axes) -> None:
    """An x axis from 0 to 100 %."""
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))


def legend_below(figure: Figure, axes: Axes) -> None:
    """The legend of one axes, under the whole figure."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=len(labels),
        frameon=False,
        fontsize=SMALL,
        labelcolor=INK,
    )


def legend_above(axes: Axes) -> None:
    """The legend on one line above its axes."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        frameon=False,
        fontsize=SMALL,
        labelcolor=INK,
        borderaxespad=0.2,
    )


def empty(title: str, words: str) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = new_figure(1.6, title)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0, 0.6, words, va="center", color=FAINT, transform=axes.transAxes)
    return figure


def short(label: str, limit: int = 28) -> str:
    """A label cut in its middle: names often differ at their end."""
    if len(label) <= limit:
        return label
    head = (limit - 1) // 2
    return f"{label[:head]}…{label[head + 1 - limit :]}"


def listed(labels: list[str], limit: int = 3) -> str:
    """A few labels in words."""
    rest = len(labels) - limit
    return ", ".join(map(short, labels[:limit])) + (f" and {rest} more" if rest > 0 else "")
