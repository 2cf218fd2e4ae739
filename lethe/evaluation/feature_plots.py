"""Pictures of the hidden layers: how fast they learn again, and how like the parent's they are.

    save(relearn_curves(evaluation.features), folder / "relearn_curves.png")

As in `lethe.evaluation.plots`, a title states what is to be seen in the figures.
"""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lethe.evaluation.drawing import (
    AFTER,
    BEFORE,
    FAINT,
    FRESH,
    RETRAINED,
    empty,
    legend_below,
    new_figure,
    short,
    style,
)
from lethe.evaluation.feature_level.readings import LIKENESS, FeatureLevel, Network
from lethe.evaluation.feature_level.relearn_curve import corrected_accuracy
from lethe.evaluation.feature_level.results import LayerCKA
from lethe.evaluation.wording import NETWORKS, decimal

__all__ = ["layer_likeness", "relearn_curves"]

# In the order of the legend; what matters most is drawn last. Markers tell without colour.
# The parent is broad: the successor often lies on it.
LOOKS: Mapping[Network, tuple[str, str, str, float]] = {
    "original": ("before", BEFORE, "s", 6),
    "fresh": ("fresh", FRESH, "^", 2),
    "retrained": ("retrained", RETRAINED, "D", 2),
    "successor": ("after", AFTER, "o", 2),
}
MARKED = 40


def relearn_curves(found: FeatureLevel) -> Figure:
    """Corrected accuracy on forgotten held-out rows against updates, a line per network.

    A curve that ended early, since the network had it back, goes on dashed at its last value.
    """
    drawn = {one.network: one.curve for one in found.curves}
    shares = {name: corrected_accuracy(curve) for name, curve in drawn.items()}
    if not any(shares.values()):
        return empty("Learning it again", "Nothing was learned again: there were no such rows.")
    figure = new_figure(3.9, _title(found, "relearn", "Learning it again"))
    axes = figure.add_subplot()
    style(axes, grid="y")
    for network, (name, colour, marker, width) in LOOKS.items():
        values = shares.get(network)
        if values is None:
            continue
        curve = drawn[network]
        marked = marker if len(values) <= MARKED else None
        axes.plot(
            curve.steps, values, color=colour, lw=width, marker=marked, ms=width + 2.5,
            label=name, clip_on=False, zorder=3,
        )  # fmt: skip
        if curve.steps[-1] < curve.planned:
            ends = (curve.steps[-1], curve.planned)
            axes.plot(ends, values[-1:] * 2, color=colour, lw=width - 0.4, ls=(0, (3, 2)), zorder=2)
    axes.set_ylim(0, 1)
    axes.set_xlim(0, max(curve.planned for curve in drawn.values()))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    rows = next(iter(drawn.values())).rows
    axes.set_xlabel(f"updates on {rows:,} labelled rows", color=FAINT)
    axes.set_ylabel("forgotten rows found,\nless false alarms", color=FAINT)
    legend_below(figure, axes)
    return figure


def layer_likeness(found: FeatureLevel) -> Figure:
    """CKA with the parent on forgotten rows, a line per network over the layers in running order.

    Debiased where it can be; where it cannot, the plain figure.
    """
    drawn = {one.network: one.layers for one in found.likeness if one.layers}
    if not drawn:
        return empty("Layer by layer", "No layer was compared with the parent's.")
    layers = [one.layer for one in next(iter(drawn.values()))]
    figure = new_figure(0.42 * len(layers) + 1.9, _title(found, LIKENESS, "Layer by layer"))
    axes = figure.add_subplot()
    style(axes, grid="both")
    lowest = 0.0
    for network, (name, colour, marker, width) in LOOKS.items():
        values = {one.layer: _cka(one) for one in drawn.get(network, ())}
        points = [(v, y) for y, layer in enumerate(layers) if (v := values.get(layer)) is not None]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        lowest = min(lowest, *x)
        axes.plot(x, y, color=colour, lw=width, marker=marker, ms=6, label=name, clip_on=False)
    axes.set_yticks(range(len(layers)), [short(layer) for layer in layers])
    axes.set_ylim(len(layers) - 0.6, -0.4)
    axes.set_xlim(min(0.0, lowest), 1)
    axes.set_xlabel("CKA with the parent on forgotten rows; 1 is the same", color=FAINT)
    axes.set_ylabel("layers, from input to output", color=FAINT)
    legend_below(figure, axes)
    return figure


def _cka(one: LayerCKA) -> float | None:
    return one.cka if one.debiased is None else one.debiased


def _title(found: FeatureLevel, name: str, what: str) -> str:
    reading = next((one for one in found.readings if one.name == name), None)
    if reading is None:
        return what
    if reading.position is None or found.reference is None:
        values = f"{decimal(reading.original)} before, {decimal(reading.successor)} after"
        return f"{what}: {values}; it cannot tell how near that is to never having seen the rows"
    return (
        f"{what}: the model now stands at {decimal(reading.position)}, where 0 is a "
        f"{NETWORKS[found.reference]} and 1 the parent"
    )
