"""A picture of a model's versions: boxes from left to right, arrows that say what was forgotten.

    write(draw("digits", tree(client, "digits")), Path("digits.svg"))

A line longer than four versions goes on below, at the left, so that forty versions stay readable.
Nothing is told by colour alone: a verdict, an alias and being superseded are words too.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from lethe.errors import SettingsError
from lethe.evaluation.drawing import (
    AFTER,
    BEFORE,
    FAINT,
    FORGOTTEN,
    INK,
    PAPER,
    RETRAINED,
    empty,
    new_figure,
    save,
    short,
)
from model_registry.lineage_tree import Node, children, generations

# Inches.
BOX, TALL, GAP, ROW, BAND_GAP = 1.7, 0.66, 1.3, 1.0, 0.25
MARGIN, TITLE = 0.25, 0.6
PER_BAND = 4
NARROWEST = 5.0
LONGEST_NAME, LABEL_LINE, LABEL_LINES = 28, 18, 2
SHOWN_ALIASES, LONGEST_ALIAS = 2, 10

EDGES = {
    "erased": RETRAINED,
    "retrained": RETRAINED,
    "suppressed": AFTER,
    "refused": FORGOTTEN,
}
ENDINGS = (".png", ".svg")


def draw(name: str, nodes: Sequence[Node], *, new: int | None = None) -> Figure:
    """The versions of one model as a figure, whose title says what is to be seen.

    Args:
        name: of the registered model.
        nodes: as `model_registry.lineage_tree.tree` gives them, or a part of them.
        new: the version to mark as the new one.
    """
    title = f"{short(name, LONGEST_NAME)}: {_summary(nodes)}"
    if not nodes:
        return empty(title, "No version is registered.")
    places, columns, height = _places(nodes)
    left = MARGIN + (GAP if any(_stub(node, places) for node in nodes) else 0)
    width = max(NARROWEST, left + columns * BOX + (columns - 1) * GAP + MARGIN + 0.35)
    figure = new_figure(height + TITLE, title)
    figure.set_layout_engine("none")
    figure.set_size_inches(width, height + TITLE)
    axes = figure.add_axes((0, 0, 1, height / (height + TITLE)))
    axes.set(xlim=(-left, width - left), ylim=(height, 0))
    axes.set_axis_off()
    for node in nodes:
        _arrow(axes, node, places)
    for node in nodes:
        _box(axes, node, places[node.version], new=node.version == new)
    return figure


def check_ending(path: Path) -> None:
    """Refuse a file name that says no format a picture is written in.

    Raises:
        SettingsError: if it ends neither in .png nor in .svg.
    """
    if path.suffix.lower() not in ENDINGS:
        raise SettingsError(
            f"{path.name} is no name for a picture. Nothing was written. "
            f"Use one that ends in .png or .svg, for example --picture lineage.svg."
        )


def write(figure: Figure, path: Path) -> str:
    """Write the figure as PNG or SVG, by the file's ending; the same figure gives the same file.

    Returns:
        The figure's title, for those who cannot see it.

    Raises:
        SettingsError: if the name has another ending.
    """
    check_ending(path)
    if path.suffix.lower() == ".png":
        return save(figure, path)
    # Text stays text, so that it can be searched and read aloud.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "lethe"}):
        title = figure.get_suptitle()
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": title})
    return title


def _summary(nodes: Sequence[Node]) -> str:
    made = sum(bool(node.forgot) for node in nodes)
    versions = f"{len(nodes)} {'version' if len(nodes) == 1 else 'versions'}"
    known = {None, *(node.version for node in nodes)}
    if any(node.above not in known for node in nodes):
        return f"the last {versions} up to version {nodes[-1].version}"
    return f"{versions}, {made} made by forgetting" if made else versions


def _places(nodes: Sequence[Node]) -> tuple[dict[int, tuple[float, float]], int, float]:
    """Left edge and middle of each box in inches, the number of columns, and the height."""
    depth = generations(nodes)
    places: dict[int, tuple[float, float]] = {}
    top = 0.0
    for band in range(max(depth.values()) // PER_BAND + 1):
        here = [n.version for n in nodes if depth[n.version] // PER_BAND == band]
        below = {v: [n.version for n in children(nodes, v) if n.version in here] for v in here}
        rows: dict[int, int] = {}
        used = 0
        for head in (version for version in here if depth[version] == band * PER_BAND):
            used = _rows(head, below, rows, used)
        for version, row in rows.items():
            column = depth[version] % PER_BAND
            places[version] = (column * (BOX + GAP), top + (row + 0.5) * ROW)
        top += used * ROW + BAND_GAP
    return places, min(PER_BAND, max(depth.values()) + 1), top


def _rows(version: int, below: Mapping[int, Sequence[int]], rows: dict[int, int], used: int) -> int:
    """Give a version and those below it in its band rows of their own; how many are used now."""
    rows[version] = used
    for child in below[version]:
        used = _rows(child, below, rows, used)
    return used if below[version] else used + 1


def _stub(node: Node, places: Mapping[int, tuple[float, float]]) -> bool:
    """Whether its arrow comes from the left edge: from a band above, or a parent that is gone."""
    return node.parent is not None and places[node.version][0] == 0


def _arrow(axes: Axes, node: Node, places: Mapping[int, tuple[float, float]]) -> None:
    """The arrow from its parent, with what was forgotten above it."""
    if node.parent is None:
        return
    x, y = places[node.version]
    gone = node.above is None
    line: dict[str, Any] = {"color": FAINT, "lw": 1.1, "alpha": _alpha(node), "snap": False}
    start = x - GAP + 0.1
    if _stub(node, places):
        where = f"{short(node.parent, LABEL_LINE)}, gone" if gone else f"version {node.above}"
        axes.text(
            start, y + 0.07, f"from {where}", va="top", fontsize=7, color=FAINT, style="italic"
        )
    elif node.above is not None:
        from_x, from_y = places[node.above]
        trunk = from_x + BOX + 0.12
        if y == from_y:
            start = from_x + BOX
        else:
            axes.plot([from_x + BOX, trunk, trunk], [from_y, from_y, y], **line)
            start = trunk
    arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, **line}
    arrow["linestyle"] = "--" if gone else "-"
    axes.annotate("", (x, y), (start, y), arrowprops=arrow)
    label = "\n".join(_lines(f"forgot {node.forgot}" if node.forgot else ""))
    axes.text(x - GAP + 0.17, y - 0.05, label, va="bottom", fontsize=7.5, color=_ink(node))


def _lines(text: str) -> Iterator[str]:
    found = wrap(text, LABEL_LINE) or [""]
    yield from (short(line, LABEL_LINE) for line in found[: LABEL_LINES - 1])
    if len(found) >= LABEL_LINES:
        last = found[LABEL_LINES - 1]
        yield short(last, LABEL_LINE) if len(found) == LABEL_LINES else f"{last[: LABEL_LINE - 1]}…"


def _box(axes: Axes, node: Node, place: tuple[float, float], *, new: bool) -> None:
    """The version: number, verdict in words, date, aliases on its upper edge."""
    x, y = place
    edge = EDGES.get(node.verdict, BEFORE)
    axes.add_patch(
        FancyBboxPatch(
            (x + 0.05, y - TALL / 2 + 0.05),
            BOX - 0.1,
            TALL - 0.1,
            boxstyle="round,pad=0.05",
            facecolor="white",
            edgecolor=edge,
            linewidth=1.6,
            alpha=_alpha(node),
        )
    )
    created = f"{node.created:%Y-%m-%d}"
    last = f"superseded by {_number(node.superseded_by)}" if node.superseded_by else created
    texts = (
        (-0.19, f"version {node.version}", 9.5, "bold", _ink(node)),
        (0.0, short(node.standing, 24), 8.5, "normal", _ink(node)),
        (0.17, last, 7, "normal", FAINT),
    )
    for shift, words, size, weight, colour in texts:
        axes.text(
            x + 0.12,
            y + shift,
            words,
            va="center",
            fontsize=size,
            weight=weight,
            color=colour,
        )
    _badges(axes, node, x + BOX - 0.08, y - TALL / 2 - 0.05, new=new)


def _badges(axes: Axes, node: Node, right: float, y: float, *, new: bool) -> None:
    names = [short(alias, LONGEST_ALIAS) for alias in node.aliases[:SHOWN_ALIASES]]
    names += ["new"] if new else []
    rest = len(node.aliases) - SHOWN_ALIASES
    names += [f"+{rest}"] if rest > 0 else []
    for place, name in enumerate(reversed(names)):
        badge = axes.annotate(
            name,
            (right, y),
            (0, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=7,
            weight="bold",
            color=PAPER,
            bbox={"boxstyle": "round,pad=0.3", "facecolor": INK, "edgecolor": PAPER},
        )
        # DejaVu Sans in bold is about 0.7 of its size wide.
        right -= (len(name) * 7 * 0.7 + 8) / 72
        badge.set_zorder(5 + place)


def _number(reference: str) -> str:
    return short(reference.rpartition("/")[2], 10)


def _alpha(node: Node) -> float:
    """Lines of superseded versions stand back, unless an alias is still on them."""
    return 0.55 if node.superseded_by and not node.aliases else 1.0


def _ink(node: Node) -> str:
    """Their words too, as far as they can still be read well."""
    return INK if _alpha(node) == 1 else FAINT
