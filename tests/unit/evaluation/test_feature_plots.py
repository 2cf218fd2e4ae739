import pytest
from feature_levels import REMEMBERING, UNCLEAR, layers

from lethe.evaluation.drawing import save
from lethe.evaluation.feature_level.readings import FeatureLevel, Likeness
from lethe.evaluation.feature_plots import layer_likeness, relearn_curves


def lines(figure) -> dict[str, tuple[list[float], list[float]]]:
    """x and y of the lines that the legend names."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in figure.axes[0].lines
        if not line.get_label().startswith("_")
    }


def test_relearn_curves_are_corrected_for_false_alarms():
    figure = relearn_curves(REMEMBERING)
    drawn = lines(figure)
    assert set(drawn) == {"before", "after", "fresh"}
    steps, shares = drawn["after"]
    assert steps == [0, 2, 4, 6]
    # A tenth of the retained rows is taken for the class.
    assert shares == pytest.approx([0.0, 0.2, 0.7, 0.8])
    assert figure.get_suptitle() == (
        "Learning it again: the model now stands at 0.33, where 0 is a fresh network and 1 the "
        "parent"
    )


def test_a_curve_that_ended_early_goes_on_dashed():
    dashed = [line for line in relearn_curves(REMEMBERING).axes[0].lines if line.is_dashed()]
    ends = sorted((*line.get_xdata(), *line.get_ydata()) for line in dashed)
    # The fresh network used all its 20 updates.
    assert ends == [pytest.approx(one) for one in [(4, 20, 0.9, 0.9), (6, 20, 0.8, 0.8)]]


def test_layers_are_drawn_from_input_to_output():
    figure = layer_likeness(REMEMBERING)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["conv1", "features"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert lines(figure) == {"after": ([0.99, 0.8], [0, 1]), "fresh": ([0.9, -0.02], [0, 1])}
    assert axes.get_xlim()[0] == -0.02
    assert "now stands at 0.50" in figure.get_suptitle()


def test_a_layer_that_could_not_be_compared_is_left_out():
    unusable = layers(0.9, 0.5)[0].model_copy(update={"cka": None, "debiased": None})
    found = REMEMBERING.model_copy(
        update={"likeness": (Likeness(network="successor", layers=(unusable, *layers(0.5))),)}
    )
    assert lines(layer_likeness(found)) == {"after": ([0.5], [1])}


def test_a_reading_that_cannot_tell_is_not_given_a_position():
    alike = REMEMBERING.readings[0].model_copy(update={"fresh": 0.88})
    title = relearn_curves(REMEMBERING.model_copy(update={"readings": (alike,)})).get_suptitle()
    assert "0.90 before, 0.50 after; it cannot tell" in title
    assert "stands at" not in title


@pytest.mark.parametrize("found", [UNCLEAR, FeatureLevel(reference=None)])
def test_nothing_to_draw_is_said(found, tmp_path):
    for figure, words in (
        (relearn_curves(found), "Nothing was learned again"),
        (layer_likeness(found), "No layer was compared"),
    ):
        assert any(words in text.get_text() for text in figure.axes[0].texts)
        save(figure, tmp_path / "empty.png")


def test_the_same_figure_is_the_same_file(tmp_path):
    for draw in (relearn_curves, layer_likeness):
        one, two = tmp_path / "one.png", tmp_path / "two.png"
        assert save(draw(REMEMBERING), one) == draw(REMEMBERING).get_suptitle()
        save(draw(REMEMBERING), two)
        assert one.read_bytes() == two.read_bytes()
