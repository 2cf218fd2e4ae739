import numpy as np
import pytest
import torch
from PIL import Image

from lethe.evaluation.drawing import DPI, short
from lethe.evaluation.plots import accuracy_per_class, curves, features_2d, probe_landing, save
from lethe.evaluation.predictions import predict
from lethe.evaluation.results import ClassRow

NAMES = [str(index) for index in range(10)]
FACTS = {
    "landed": [0, 5, 90, 4, 0, 0, 0, 0, 30, 8],
    "instructed": [0, 5, 92, 0, 0, 0, 0, 0, 31, 9],
    "failed_probes": 4,
    "rows": 137,
    "confidence_clean": [0] * 19 + [137],
    "confidence_probe": [130, 3] + [0] * 17 + [4],
}


def title(figure) -> str:
    return figure.get_suptitle()


def words(figure) -> set[str]:
    """Every text in a figure's axes, ticks included."""
    figure.draw_without_rendering()
    return {text.get_text() for axes in figure.axes for text in axes.findobj(type(axes.title))}


def test_accuracy_per_class_states_what_is_left_and_what_was_lost(evaluation):
    figure = accuracy_per_class(evaluation)
    assert title(figure).startswith("Accuracy left on 3: 0.0 %")
    row = next(row for row in evaluation.per_class if row.forgotten)
    assert f"{100 * row.before:.1f} → 0.0 %" in words(figure)


def test_many_classes_show_the_forgotten_and_the_most_changed(evaluation):
    rows = tuple(
        ClassRow(
            label=f"class {n}",
            forgotten=n == 99,
            count=50,
            before=1.0,
            after=0.0 if n == 99 else 1 - n / 200,
        )
        for n in range(100)
    )
    many = evaluation.model_copy(update={"per_class": rows})
    figure = accuracy_per_class(many)
    shown = words(figure)
    assert {"class 99", "class 98", "class 60"} <= shown
    assert "class 1" not in shown
    assert any("60 classes that changed least are not shown" in text for text in shown)


def test_curves_name_where_they_ended():
    figure = curves({"push_loss": [3.0, 1.0, 0.25], "kept": [1.0, 1.0, 0.5], "none": []})
    assert title(figure).startswith("The edit took 3 epochs")
    assert {"push loss: 0.25", "kept: 0.5"} <= words(figure)
    assert len(figure.axes) == 2


def test_probe_landing_counts_what_crossed():
    figure = probe_landing(FACTS, NAMES)
    # 137 - 4 of 137 is 97.1 %.
    assert title(figure) == "97 % of 137 probes crossed the boundary, most often towards 2"
    by_index = {**FACTS, "landed": {"2": 90, "8": 30}, "instructed": {2: 92, 8: 31}}
    assert title(probe_landing(by_index, NAMES)) == title(figure)


def test_features_share_one_plane_and_say_how_much_it_shows(digits, parent, head_only):
    before, after = (
        predict(model, digits[1], device=torch.device("cpu"), with_features=True)
        for model in (parent, head_only)
    )
    labels = before.labels[before.feature_rows]
    figure = features_2d(before.features, after.features, labels, NAMES, [3])
    left, right = figure.axes
    # Only the head was changed, so every row lies where it lay, and the title must say so.
    for one, other in zip(left.collections, right.collections, strict=True):
        np.testing.assert_allclose(one.get_offsets(), other.get_offsets())
    assert left.get_xlim() == right.get_xlim()
    share_before, share_now = title(figure).rsplit(": ", 1)[1].split(", now ")
    assert share_before == share_now
    assert any("of the parent's variance" in text for text in words(figure))
    moved = features_2d(before.features, after.features + 100, labels, NAMES, [3])
    assert (
        moved.axes[1].collections[0].get_offsets()[0, 0] != left.collections[0].get_offsets()[0, 0]
    )


@pytest.mark.parametrize(
    "figure",
    [
        lambda evaluation: accuracy_per_class(evaluation.model_copy(update={"per_class": ()})),
        lambda _: curves({}),
        lambda _: probe_landing({}, NAMES),
        lambda _: features_2d(torch.zeros(1, 4), torch.zeros(1, 4), torch.zeros(1), NAMES, [3]),
        lambda _: features_2d(
            torch.ones(5, 4), torch.full((5, 4), torch.nan), torch.zeros(5), NAMES, [3]
        ),
    ],
    ids=["no classes", "no curves", "no probes", "one row", "not finite"],
)
def test_nothing_to_draw_is_said_in_the_picture(figure, evaluation, tmp_path):
    drawn = figure(evaluation)
    assert any(len(text) > 20 for text in words(drawn))
    save(drawn, tmp_path / "empty.png")


def test_the_same_figure_is_the_same_file_and_returns_its_title(evaluation, tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    assert save(accuracy_per_class(evaluation), one).startswith("Accuracy left on 3")
    save(accuracy_per_class(evaluation), two)
    assert one.read_bytes() == two.read_bytes()
    with Image.open(one) as image:
        assert round(image.info["dpi"][0]) == DPI
        assert set(image.info) == {"dpi"}


def test_long_labels_keep_the_end_that_tells_them_apart():
    for limit in (5, 10, 28):
        cut = short("abcdefghijklmnopqrstuvwxyz0123456789", limit)
        assert len(cut) == limit
        assert cut.endswith("89")
    assert short("3") == "3"
