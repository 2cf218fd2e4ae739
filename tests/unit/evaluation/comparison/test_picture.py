"""Names of methods in the picture of a comparison."""

from itertools import combinations

from matplotlib.text import Text

from lethe.evaluation.comparison.picture import pareto_plot
from lethe.evaluation.comparison.summary import Interval, Line


def line(method, forget, retained):
    return Line(
        method=method, needs="forget_only", seeds=1, cells=1, failed=0,
        gap=Interval(forget), forget_gap=Interval(forget), retained_gap=Interval(retained),
    )  # fmt: skip


def test_no_name_covers_another_though_all_methods_are_as_good():
    lines = [line(f"method_{n}", 0.0, 0.001) for n in range(6)] + [line("other", 1.0, 0.001)]
    figure = pareto_plot(lines, "alike")
    figure.canvas.draw()
    (axes,) = figure.axes
    names = [text for text in axes.texts if text.get_text() in {one.method for one in lines}]
    assert len(names) == len(lines)
    boxes = [Text.get_window_extent(text) for text in names]  # without the line to the point
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_the_axis_begins_at_a_power_of_ten_and_leaves_room_for_the_last_point():
    (axes,) = pareto_plot([line("near", 0.03, 0.01), line("far", 0.2, 0.01)], "far").axes
    low, high = axes.get_xlim()
    assert 0.8 < low < 1
    assert high > 1.04 * 20
