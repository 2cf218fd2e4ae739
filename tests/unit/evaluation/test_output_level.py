import math

import pytest
import torch
from known_answers import CPU, Table, answering, rows

from lethe.data.rows import TensorRows
from lethe.errors import ModelError
from lethe.evaluation.output_level import evaluate
from lethe.evaluation.results import Accuracy, Evaluation, Part

NAMES = ("a", "b", "c")

# Rows 0-3 are of the forgotten class a (held-out), 4-7 of b and 8-9 of c (retained, held-out).
FORGET = rows([0, 1, 2, 3], [0, 0, 0, 0])
RETAINED = rows([4, 5, 6, 7, 8, 9], [1, 1, 1, 1, 2, 2])
PARTS = {Part.FORGET_HELD_OUT: FORGET, Part.RETAINED_HELD_OUT: RETAINED}
PARENT = answering([0, 0, 0, 1, 1, 1, 1, 1, 2, 1], width=3)
SUCCESSOR = answering([1, 1, 2, 0, 1, 1, 2, 0, 2, 2], width=3)


def measure(parent=PARENT, successor=SUCCESSOR, parts=PARTS, forgotten=(0,), **more) -> Evaluation:
    return evaluate(
        parent, successor, parts, classes=NAMES, forgotten=forgotten, device=CPU, **more
    )


def test_accuracy_of_each_part():
    found = measure()
    # Parent: 3 of 4 a; b 4 of 4 and c 1 of 2, so 5 of 6. Successor: 1 of 4 a; 2 of 4 b, 2 of 2 c.
    assert (found.before.forget_held_out.correct, found.before.forget_held_out.count) == (3, 4)
    assert found.before.retained_held_out.share == 5 / 6
    assert found.after.forget_held_out.share == 1 / 4
    assert found.after.retained_held_out.share == 4 / 6
    assert found.reference is None


def test_missing_and_empty_parts_are_listed_not_made_up():
    parts = {**PARTS, Part.RETAINED_TRAIN: rows([], [])}
    found = measure(parts=parts)
    assert found.not_measured == (Part.FORGET_TRAIN, Part.RETAINED_TRAIN)
    assert found.after.retained_train is None


def test_per_class_rows_say_where_the_rows_go_now():
    by_label = {row.label: row for row in measure().per_class}
    # a: rows answered b, b, c, a: half go to b, a quarter to c.
    a = by_label["a"]
    assert (a.forgotten, a.count, a.before, a.after) == (True, 4, 0.75, 0.25)
    assert [(n.label, n.share) for n in a.nearest] == [("b", 0.5), ("c", 0.25)]
    # b: answered b, b, c, a: one row each goes to a and c; equal shares in the order of classes.
    b = by_label["b"]
    assert (b.forgotten, b.before, b.after) == (False, 1.0, 0.5)
    assert [(n.label, n.share) for n in b.nearest] == [("a", 0.25), ("c", 0.25)]
    assert by_label["c"].nearest == ()


def test_a_reference_gets_its_own_column():
    reference = answering([1, 1, 1, 1, 1, 1, 1, 2, 2, 2], width=3)
    found = measure(reference=reference)
    assert found.reference.forget_held_out.share == 0
    assert [row.reference for row in found.per_class] == [0.0, 0.75, 1.0]


def test_drift_ignores_the_forgotten_class():
    # Two retained rows. Over b and c, renormalised: row 0 parent (1/2, 1/2), successor (3/4, 1/4);
    # row 1 both (1/5, 4/5). The forgotten class a holds half of the parent's mass: left out.
    parent = Table(torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.1, 0.4]]).log())
    successor = Table(torch.tensor([[0.0, 0.75, 0.25], [0.1, 0.18, 0.72]]).log())
    parts = {Part.RETAINED_HELD_OUT: rows([0, 1], [1, 2])}
    drift = measure(parent, successor, parts).drift
    # KL of row 0 = 1/2 ln(1/2 / 3/4) + 1/2 ln(1/2 / 1/4) = 1/2 ln(4/3); row 1: 0. Mean: half.
    assert drift.kl == pytest.approx(0.25 * math.log(4 / 3), rel=1e-5)
    assert drift.agreement == 1.0  # row 0: b by the first index in both
    assert drift.count == 2


def test_agreement_counts_equal_answers_among_retained_classes():
    # Retained rows 4-9: parent b b b b c b; successor among b and c: b b c (a: b and c tie, b) c c.
    # Equal in rows 4, 5, 7 and 8: 4 of 6.
    assert measure().drift.agreement == pytest.approx(4 / 6)


def test_drift_of_a_model_with_itself_is_none():
    drift = measure(PARENT, PARENT).drift
    assert drift.agreement == 1.0
    assert drift.kl == pytest.approx(0, abs=1e-12)


def test_a_class_ruled_out_for_good_gives_no_finite_divergence():
    successor = Table(torch.tensor([[0.0, 0.0, -math.inf]]))
    parts = {Part.RETAINED_HELD_OUT: rows([0], [1])}
    found = measure(Table(torch.zeros(1, 3)), successor, parts)
    assert found.drift.kl is None
    assert found.broken_outputs == 0
    # Ruled out in both: 0 ln 0 is 0, not NaN.
    assert measure(successor, successor, parts).drift.kl == pytest.approx(0, abs=1e-12)


def test_confidence_on_the_forgotten_rows():
    # One training and one held-out row: p_F 0.8 and 0.6 before, 0.1 and 0.0 after.
    parent = Table(torch.tensor([[0.8, 0.1, 0.1], [0.6, 0.2, 0.2]]).log())
    successor = Table(torch.tensor([[0.1, 0.45, 0.45], [0.0, 0.5, 0.5]]).log())
    parts = {Part.FORGET_TRAIN: rows([0], [0]), Part.FORGET_HELD_OUT: rows([1], [0])}
    found = measure(parent, successor, parts).confidence
    assert found.count == 2
    assert found.p_before == pytest.approx(0.7)
    assert found.p_after == pytest.approx(0.05)
    assert (found.named_before, found.named_after) == (1.0, 0.0)
    # Entropy after: -(0.1 ln 0.1 + 2 * 0.45 ln 0.45) = 0.94892 and ln 2 = 0.69315; mean 0.82103.
    assert found.entropy_after == pytest.approx(0.82103, abs=1e-5)


def test_confidence_without_forgotten_classes_is_that_of_the_rows_own_label():
    parent = Table(torch.tensor([[0.8, 0.1, 0.1], [0.3, 0.2, 0.5]]).log())
    parts = {Part.FORGET_TRAIN: rows([0, 1], [0, 2])}
    found = measure(parent, parent, parts, forgotten=()).confidence
    assert found.p_before == pytest.approx((0.8 + 0.5) / 2)
    assert found.named_after is None


def test_rows_of_unknown_label_do_not_count_as_forgotten():
    parts = {Part.FORGET_HELD_OUT: rows([0, 1, 2, 3], [0, -1, -1, 0])}
    found = measure(PARENT, PARENT, parts)
    assert (found.after.forget_held_out.correct, found.after.forget_held_out.count) == (1, 2)
    assert found.unknown_labels == 2
    only_unknown = measure(PARENT, PARENT, {Part.FORGET_HELD_OUT: rows([0, 1], [-1, -1])})
    assert only_unknown.after.forget_held_out is None
    assert Part.FORGET_HELD_OUT in only_unknown.not_measured


def test_outputs_that_are_not_numbers_are_never_right_and_are_counted():
    found = measure(successor=Table(torch.full((10, 3), math.nan)))
    assert found.broken_outputs == 10
    assert found.after.retained_held_out.correct == 0
    assert found.drift.agreement == 0
    assert found.drift.kl is None
    assert found.confidence.p_after is None
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


def test_a_network_of_another_width_is_refused():
    with pytest.raises(ModelError, match="4 logits, but 3 classes"):
        measure(successor=answering([0] * 10, width=4))


def test_progress_counts_rows_over_all_parts():
    heard = []
    measure(reference=PARENT, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(4, 10), (10, 10)]


def test_rows_are_read_once_and_figures_do_not_depend_on_the_size_of_batches():
    class Pieces(TensorRows):
        read = 0

        def batches(self, batch_size, *, seed=None):
            assert batch_size > 2
            type(self).read += 1
            yield from super().batches(2, seed=seed)

    parts = {part: Pieces(given.x, given.y) for part, given in PARTS.items()}
    in_pieces = measure(parts=parts, reference=PARENT)
    whole = measure(reference=PARENT)
    assert Pieces.read == 2
    assert in_pieces.figures() == pytest.approx(whole.figures())
    assert in_pieces.per_class == whole.per_class


def test_a_network_is_left_as_it_was_when_another_one_fails():
    parent = torch.nn.Linear(1, 3).train()
    with pytest.raises(ModelError):
        measure(parent=parent, successor=answering([0] * 10, width=4))
    assert parent.training


def test_figures_are_flat_and_survive_json():
    found = measure()
    figures = found.figures()
    assert figures["before.forget_held_out"] == 0.75
    assert figures["drift.agreement"] == pytest.approx(4 / 6)
    assert "after.retained_train" not in figures
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [
        # Clopper and Pearson in closed form: no success leaves 1 - 0.025 ** (1 / n) open.
        (0, 37, 0.0, 1 - 0.025 ** (1 / 37)),
        (37, 37, 0.025 ** (1 / 37), 1.0),
        # Tabulated: 5 of 10 gives 18.7 % to 81.3 %.
        (5, 10, 0.1871, 0.8129),
    ],
)
def test_interval_of_an_accuracy(correct, count, low, high):
    found = Accuracy.of(correct, count)
    assert found.share == correct / count
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_no_rows_have_no_accuracy():
    assert Accuracy.of(0, 0) is None
