"""An edit over pairs: which mode rows run in, what is summed, and in which order rows come."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.pairs import cycled, mixed, retained_only
from lethe.unlearning.retain_edit import (
    Course,
    Pair,
    RetainEdit,
    edit_with_retained,
    retained_rows,
    training_mode,
)


def rows(count: int, label: int = 0) -> TensorRows:
    x = torch.arange(count, dtype=torch.float32)[:, None].repeat(1, 2)
    return TensorRows(x, torch.full((count,), label))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def seen(batches) -> list[int]:
    return sorted(p for batch in batches if batch is not None for p in batch.positions.tolist())


@given(forget=st.integers(1, 40), retained=st.integers(1, 80), batch_size=st.integers(2, 20))
def test_mixed_steps_show_every_row_once_in_steady_proportion(forget, retained, batch_size):
    pairs = list(mixed(rows(forget), rows(retained), batch_size, generator()))
    assert seen(pair.forget for pair in pairs) == list(range(forget))
    assert seen(pair.retained for pair in pairs) == list(range(retained))
    for pair in pairs:
        assert sum(len(batch.y) for batch in pair if batch is not None) <= batch_size


def test_mixed_steps_show_the_chosen_retained_rows_alone():
    chosen = torch.arange(100) % 4 == 0
    pairs = list(mixed(rows(25), rows(100), 10, generator(), chosen))
    assert seen(pair.retained for pair in pairs) == list(range(0, 100, 4))
    assert seen(pair.forget for pair in pairs) == list(range(25))
    assert len(pairs) == 5  # 5 forget rows and about 5 of 20 retained ones in each


def test_the_forget_rows_start_over_until_the_retained_ones_are_through():
    pairs = list(cycled(rows(3), rows(10), 2, generator()))
    assert [len(pair.retained.y) for pair in pairs] == [2] * 5
    assert [len(pair.forget.y) for pair in pairs] == [2, 1, 2, 1, 2]
    assert seen(pair.forget for pair in pairs[:2]) == [0, 1, 2]
    assert seen(pair.retained for pair in pairs) == list(range(10))


def test_orders_differ_between_epochs_and_agree_for_a_seed():
    one, other = generator(), generator()
    orders = [
        [p for pair in retained_only(rows(50), 8, g) for p in pair.retained.positions.tolist()]
        for g in (one, one, other)
    ]
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


def norm_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2), nn.Dropout(0.5), nn.Linear(2, 2))


def test_both_kinds_of_rows_run_in_training_mode_and_a_single_row_does_not():
    modes = []

    def losses(student, gone, kept, _):
        modes.append(student.training)
        return {"term": (gone or kept).logits.sum() * 0}

    def pairs(_, __):
        yield Pair(next(rows(4).batches(4)), None)
        yield Pair(None, next(rows(4).batches(4)))
        yield Pair(next(rows(4).batches(1)), None)

    model = norm_network().eval()
    forget = ForgetTarget(rows(4), "class", (0,), rows(4, 1))
    edit = edit_with_retained(
        model, forget, Context(), RetainEdit(epochs=1), Course(pairs, losses, ("term",))
    )
    assert modes == [True, True, False]
    assert not edit.model.training
    # Momentum 0.1 of both batches' mean, 1.5.
    torch.testing.assert_close(edit.model[0].running_mean, torch.full((2,), 1.5 * (1 - 0.9**2)))


def test_statistics_of_layers_frozen_by_their_owner_stay():
    model = norm_network()
    model[0].requires_grad_(requires_grad=False)
    training_mode(model, learn=True)
    assert [module.training for module in model] == [False, True, True, True]
    training_mode(model, learn=False)
    assert not any(module.training for module in model)


def test_the_terms_are_summed_and_a_curve_holds_their_mean():
    """A linear network, one step of plain sums: the gradient of 2 z - z is that of z."""
    model = nn.Linear(1, 2, bias=False)
    nn.init.ones_(model.weight)
    data = TensorRows(torch.ones(2, 1), torch.tensor([0, 0]))
    forget = ForgetTarget(data, "class", (0,), data)

    def pairs(epoch, _):
        for batch in data.batches(1):
            yield Pair(batch if epoch == 0 else None, batch)

    def losses(_, gone, kept, __):
        terms = {"down": 2 * kept.logits[0, 0]}
        if gone is not None:
            terms["up"] = -gone.logits[0, 0]
        return terms

    course = Course(pairs, losses, ("down", "up"))
    settings = RetainEdit(learning_rate=0.1, epochs=2)
    edit = edit_with_retained(model, forget, Context(), settings, course)
    # Weights of the two steps of an epoch: 1 and 0.9; then with momentum 0.9.
    assert edit.curves["down"][0] == pytest.approx(2 * (1 + 0.9) / 2)
    assert edit.curves["up"] == pytest.approx([-(1 + 0.9) / 2, 0.0])
    assert edit.curves["loss"][0] == pytest.approx((1 + 0.9) / 2)
    steps = [0.1, 0.19, 0.1 * (2 + 0.9 * 1.9), 0.1 * (2 + 0.9 * (2 + 0.9 * 1.9))]
    assert edit.model.weight[0, 0].item() == pytest.approx(1 - sum(steps))
    assert edit.model.weight[1, 0].item() == 1
    assert edit.curves["forget_accuracy"] == [0.0, 0.0]
    assert edit.stopped == "After its 2 epochs: 0.0% recognised."


def test_the_gradient_is_clipped():
    model = nn.Linear(1, 2, bias=False)
    data = TensorRows(torch.ones(1, 1), torch.tensor([0]))
    course = Course(
        lambda _, __: iter([Pair(None, next(data.batches(1)))]),
        lambda _, __, kept, ___: {"term": 1000 * kept.logits[0, 0]},
        ("term",),
    )
    settings = RetainEdit(learning_rate=0.1, epochs=1, clip=0.5)
    forget = ForgetTarget(data, "class", (0,), data)
    edit = edit_with_retained(model, forget, Context(), settings, course)
    assert (edit.model.weight - model.weight).norm().item() == pytest.approx(0.05, rel=1e-4)


def test_weight_decay_is_that_of_the_optimizer():
    model = nn.Linear(1, 2, bias=False)
    data = TensorRows(torch.ones(1, 1), torch.tensor([0]))
    course = Course(
        lambda _, __: iter([Pair(None, next(data.batches(1)))]),
        lambda _, __, kept, ___: {"term": 0 * kept.logits.sum()},
        ("term",),
    )
    settings = RetainEdit(learning_rate=0.1, epochs=1, weight_decay=0.5)
    forget = ForgetTarget(data, "class", (0,), data)
    edit = edit_with_retained(model, forget, Context(), settings, course)
    torch.testing.assert_close(edit.model.weight, model.weight.detach() * (1 - 0.1 * 0.5))


def test_retained_rows_are_those_that_were_given():
    given_rows = rows(3)
    assert retained_rows(ForgetTarget(rows(1), "samples", (), given_rows), "any") is given_rows
