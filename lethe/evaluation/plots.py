"""The pictures of a run. Each function returns a figure; `save` writes it as PNG.

    save(accuracy_per_class(evaluation), folder / "accuracy_per_class.png")

Every title states what is to be seen in the figures themselves.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from lethe.evaluation.drawing import (
    AFTER,
    BEFORE,
    FAINT,
    FORGOTTEN,
    INK,
    PAPER,
    RETRAINED,
    SMALL,
    empty,
    legend_above,
    legend_below,
    listed,
    new_figure,
    percent_axis,
    save,
    short,
    style,
)
from lethe.evaluation.results import ClassRow, Evaluation

__all__ = ["accuracy_per_class", "curves", "features_2d", "probe_landing", "save"]

SHOWN_CLASSES = 40
LANDED_CLASSES = 12
NAMED_CLUSTERS = 12
MARKED_EPOCHS = 15


def accuracy_per_class(evaluation: Evaluation) -> Figure:
    """Held-out accuracy of every class before, after and retrained; forgotten classes marked.

    With more than 40 classes the forgotten and the most changed ones are shown.
    """
    rows, left_out = _shown(evaluation.per_class)
    if not rows:
        return empty("Accuracy per class", "No held-out rows were given.")
    sides: list[tuple[str, str, list[float | None]]] = [
        ("before", BEFORE, [row.before for row in rows]),
        ("after", AFTER, [row.after for row in rows]),
    ]
    if any(row.reference is not None for row in rows):
        sides.append(("retrained without", RETRAINED, [row.reference for row in rows]))
    figure = new_figure((0.15 * len(sides) + 0.09) * len(rows) + 1.5, _accuracy_title(evaluation))
    axes = figure.add_subplot()
    style(axes, grid="x")
    height = 0.8 / len(sides)
    for number, (name, colour, values) in enumerate(sides):
        places = [y + height * (number - (len(sides) - 1) / 2) for y in range(len(rows))]
        axes.barh(places, [v or 0 for v in values], height, color=colour, label=name)
    axes.set_yticks(range(len(rows)), [short(row.label) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    percent_axis(axes)
    left_out_words = f" ({left_out} classes that changed least are not shown)" if left_out else ""
    axes.set_xlabel(f"accuracy on held-out rows{left_out_words}", color=FAINT)
    for y, row in enumerate(rows):
        _write_change(axes, y, row)
    legend_below(figure, axes)
    return figure


def curves(edit_curves: Mapping[str, Sequence[float]]) -> Figure:
    """One panel per curve of the edit: value against epoch, the last value written out."""
    drawn = {name: [float(v) for v in values] for name, values in edit_curves.items() if values}
    if not drawn:
        return empty("The edit", "No curves were recorded.")
    epochs = max(len(values) for values in drawn.values())
    columns = min(3, len(drawn))
    lines = math.ceil(len(drawn) / columns)
    title = f"The edit took {epochs} {'epoch' if epochs == 1 else 'epochs'}"
    figure = new_figure(2.2 * lines + 0.8, f"{title}; each panel names where its curve ended")
    for number, (name, values) in enumerate(drawn.items(), start=1):
        axes = figure.add_subplot(lines, columns, number)
        style(axes, grid="y")
        marker = "o" if epochs <= MARKED_EPOCHS else None
        steps = range(1, len(values) + 1)
        axes.plot(steps, values, color=AFTER, lw=2, marker=marker, ms=4, clip_on=False, zorder=3)
        axes.set_title(
            f"{short(name.replace('_', ' '))}: {values[-1]:.3g}", loc="left", fontsize=10, color=INK
        )
        axes.set_xlim(0.8, max(epochs, 2) + 0.2)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if all(value >= 0 for value in values):
            axes.set_ylim(bottom=0)
        if number > len(drawn) - columns:
            axes.set_xlabel("epoch", color=FAINT)
    return figure


def probe_landing(facts: Mapping[str, Any], classes: Sequence[str]) -> Figure:
    """Where boundary probes landed, and how the forget classes' probability fell on the way.

    Args:
        facts: what a probe reports. `landed` and `instructed`: counts per class index, a list or a
            mapping; `failed_probes` of `rows`; `confidence_clean` and `confidence_probe`: counts
            of rows per twentieth of [0, 1] of the forget classes' probability. Any may be missing.
        classes: names in the order of the logits.
    """
    landed, instructed = (_counts(facts.get(key), len(classes)) for key in ("landed", "instructed"))
    most = np.maximum(landed, instructed)
    order = [int(i) for i in np.argsort(-most, kind="stable") if most[i]][:LANDED_CLASSES]
    if not order:
        return empty("Boundary probes", "The method recorded no probes.")
    rows, failed = int(facts.get("rows") or landed.sum()), int(facts.get("failed_probes") or 0)
    top = int(np.argmax(instructed if instructed.any() else landed))
    figure = new_figure(
        max(3.4, 0.34 * len(order) + 1.6),
        f"{_percent((rows - failed) / rows)} of {rows:,} probes crossed the boundary, "
        f"most often towards {short(classes[top])}",
    )
    left, right = figure.subplots(1, 2)
    style(left, grid="x")
    places = np.arange(len(order))
    left.barh(places - 0.2, landed[order], 0.38, color=BEFORE, label="landed in")
    left.barh(places + 0.2, instructed[order], 0.38, color=AFTER, label="instructed as")
    left.set_yticks(places, [short(classes[i]) for i in order])
    left.set_ylim(len(order) - 0.4, -0.6)
    left.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    left.set_xlabel("probes", color=FAINT)
    legend_above(left)
    _histogram(right, facts)
    return figure


def features_2d(
    before_features: Tensor,
    after_features: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    forgotten: Sequence[int],
) -> Figure:
    """Features before and after in one plane: the parent's first two principal components.

    The title counts, in all dimensions, how many forgotten rows have another forgotten row as
    their nearest neighbour: a picture's figure, not a measurement that any gate uses.

    Args:
        before_features: (M, D) the parent's features.
        after_features: (M, D) the successor's features of the same rows.
        labels: (M,) label indices of the rows.
        classes: names in the order of the logits.
        forgotten: indices of the forgotten classes.
    """
    from sklearn.decomposition import PCA

    sides = [features.double().numpy() for features in (before_features, after_features)]
    if len(sides[0]) < 3 or sides[0].shape != sides[1].shape or sides[0].shape[1] < 2:
        return empty("Features before and after", "There are too few features to draw.")
    if not all(np.isfinite(side).all() for side in sides):
        return empty("Features before and after", "The features are not finite numbers.")
    gone = np.isin(labels.numpy(), list(forgotten))
    plane = PCA(2, random_state=0).fit(sides[0])
    figure = new_figure(4.8, _features_title(sides, gone, [classes[i] for i in forgotten]))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    first, second = (_percent(float(share)) for share in plane.explained_variance_ratio_)
    for axes, side, name in zip(panels, sides, ("before", "after"), strict=True):
        xy = plane.transform(side)
        style(axes, grid="both")
        axes.scatter(*xy[~gone].T, s=9, color=BEFORE, alpha=0.55, lw=0, label="retained rows")
        axes.scatter(*xy[gone].T, s=14, color=FORGOTTEN, alpha=0.85, lw=0, label="forgotten rows")
        axes.set_title(name, loc="left", fontsize=11, color=INK)
        axes.set_xlabel(f"component 1 ({first} of the parent's variance)", color=FAINT)
        _name_clusters(axes, xy, labels.numpy(), classes, forgotten)
    panels[0].set_ylabel(f"component 2 ({second})", color=FAINT)
    legend_below(figure, panels[0])
    return figure


def _features_title(sides: Sequence[Any], gone: Any, names: list[str]) -> str:
    from sklearn.neighbors import NearestNeighbors

    if gone.sum() < 2:
        return "Features before and after, in the parent's plane"
    together = []
    for side in sides:
        nearest = NearestNeighbors(n_neighbors=1).fit(side).kneighbors(return_distance=False)
        together.append(_percent(float(gone[nearest[gone, 0]].mean())))
    what = f"Rows of {listed(names)}" if names else "Forgotten rows"
    return f"{what} with one of their own as nearest neighbour: {together[0]}, now {together[1]}"


def _name_clusters(
    axes: Axes, xy: Any, labels: Any, classes: Sequence[str], forgotten: Sequence[int]
) -> None:
    """Write each class at the middle of its rows; only the forgotten ones when there are many."""
    present = [int(i) for i in np.unique(labels) if i >= 0]
    for index in present:
        if len(present) > NAMED_CLUSTERS and index not in forgotten:
            continue
        axes.annotate(
            short(classes[index], 16),
            np.median(xy[labels == index], axis=0),
            ha="center",
            va="center",
            fontsize=10,
            weight="bold",
            color=FORGOTTEN if index in forgotten else INK,
            bbox={"boxstyle": "round,pad=0.2", "fc": PAPER, "ec": "none", "alpha": 0.85},
        )


def _histogram(axes: Axes, facts: Mapping[str, Any]) -> None:
    style(axes, grid="y")
    percent_axis(axes)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("probability of the forgotten classes", color=FAINT)
    for key, colour, name in (
        ("confidence_clean", BEFORE, "forget rows"),
        ("confidence_probe", AFTER, "their probes"),
    ):
        counts = np.asarray(facts.get(key) or [0], dtype=float)
        edges = np.linspace(0, 1, counts.size + 1)
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.75, label=name)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_ylabel("rows", color=FAINT)
    legend_above(axes)


def _counts(found: Any, size: int) -> Any:
    counts = np.zeros(size, dtype=int)
    items = found.items() if isinstance(found, Mapping) else enumerate(found or [])
    for index, count in items:
        counts[int(index)] = int(count)
    return counts


def _write_change(axes: Axes, y: int, row: ClassRow) -> None:
    axes.annotate(
        f"{100 * row.before:.1f} → {100 * row.after:.1f} %",
        (1, y),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=SMALL,
        color=FORGOTTEN if row.forgotten else FAINT,
        weight="bold" if row.forgotten else "normal",
        annotation_clip=False,
    )
    if row.forgotten:
        axes.axhspan(y - 0.5, y + 0.5, color=FORGOTTEN, alpha=0.10, lw=0, zorder=0)
        axes.get_yticklabels()[y].set(color=FORGOTTEN, weight="bold")


def _shown(rows: Sequence[ClassRow]) -> tuple[list[ClassRow], int]:
    if len(rows) <= SHOWN_CLASSES:
        return list(rows), 0
    order = sorted(rows, key=lambda row: (not row.forgotten, row.after - row.before))
    return order[:SHOWN_CLASSES], len(rows) - SHOWN_CLASSES


def _accuracy_title(evaluation: Evaluation) -> str:
    gone = [row for row in evaluation.per_class if row.forgotten]
    kept = [row for row in evaluation.per_class if not row.forgotten]
    parts = []
    if gone:
        names, left = listed([row.label for row in gone]), max(row.after for row in gone)
        parts.append(f"Accuracy left on {names}: {100 * left:.1f} %")
    if kept:
        worst = max(kept, key=lambda row: row.before - row.after)
        loss = 100 * (worst.before - worst.after)
        lost = f"Largest loss elsewhere: {loss:.1f} points, on {short(worst.label)}"
        parts.append(lost if loss > 0 else "No other class lost any")
    return ". ".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
