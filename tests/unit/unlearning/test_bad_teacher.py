"""Bad Teacher listens to two teachers: an untrained one on forget rows, the original elsewhere."""

import math

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.bad_teacher import BadTeacher, choose
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.teachers import frozen, untrained


def test_the_untrained_network_is_drawn_from_the_seed_and_knows_nothing(digits):
    first, again, other = (untrained(digits.model, seed) for seed in (0, 0, 1))
    assert digits.accuracy(digits.model, *range(10)) > 0.9
    assert digits.accuracy(first, *range(10)) < 0.4
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    assert torch.equal(first.norm1.running_mean, torch.zeros(16))


def test_weights_of_modules_that_cannot_start_anew_are_put_in_a_random_order():
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factors = nn.Parameter(torch.arange(50.0))

    model = Scale()
    factors = untrained(model, 0).factors
    assert not torch.equal(factors, model.factors)
    assert torch.equal(factors.sort().values, model.factors)


def test_the_global_generator_plays_no_part(digits):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    untrained(digits.model, 0)
    assert torch.equal(before, torch.get_rng_state())


def test_a_frozen_teacher_stays_what_it_was():
    model = nn.Linear(2, 2)
    teacher = frozen(model, torch.device("cpu"))
    x = torch.ones(1, 2)
    before = teacher(x)
    with torch.no_grad():
        model.weight.add_(1)
    assert torch.equal(teacher(x), before)
    assert not before.requires_grad


def test_the_share_of_retained_rows_is_drawn_from_the_seed():
    assert choose(100, 0.3, 0).sum() == 30
    assert torch.equal(choose(100, 0.3, 0), choose(100, 0.3, 0))
    assert not torch.equal(choose(100, 0.3, 0), choose(100, 0.3, 1))
    assert choose(2, 0.01, 0).sum() == 1


def test_one_step_follows_each_teacher_on_its_rows():
    """The gradient on forget rows is (p - q) x with q of the untrained network; 0 elsewhere."""
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 3.0]]))
    forget = ForgetTarget(
        TensorRows(torch.tensor([[1.0, 0.0]]), torch.tensor([0])),
        "class",
        (0,),
        TensorRows(torch.tensor([[0.0, 1.0]]), torch.tensor([1])),
    )
    method = BadTeacher(optimizer="sgd", learning_rate=0.1, epochs=1, retained_share=1.0)
    context = Context(seed=4)
    edit = method.edit(model, forget, method.probe(model, forget, context), context)
    bad = untrained(model, 4)(forget.rows.x).softmax(1)[0].detach()
    own = model(forget.rows.x).softmax(1)[0].detach()
    torch.testing.assert_close(edit.model.weight[:, 0], model.weight[:, 0] - 0.1 * (own - bad) / 2)
    torch.testing.assert_close(edit.model.weight[:, 1], model.weight[:, 1])
    kl = sum(q * math.log(q / p) for q, p in zip(bad.tolist(), own.tolist(), strict=True))
    assert edit.curves["bad"] == pytest.approx([kl / 2], rel=1e-4)  # of two rows
    assert edit.curves["good"] == pytest.approx([0], abs=1e-6)
