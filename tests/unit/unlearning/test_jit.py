"""JiT brings down the slope of the network around its rows."""

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.jit import JiT, slope
from lethe.unlearning.method import Context, ForgetTarget


def test_the_slope_of_a_linear_network_is_its_own():
    """f(x) = 3 x in every direction, so the ratio is 3 whatever the noise."""
    x = torch.randn(4, 2)
    generator = torch.Generator().manual_seed(0)
    found = slope(lambda v: 3 * v, x, 3 * x, deviation=0.5, copies=5, generator=generator)
    torch.testing.assert_close(found, torch.full((4,), 3.0))


def test_only_the_clean_side_has_a_gradient():
    """With f(x) = w x, one noisy copy and a held far side: the gradient is x / noise, signed."""
    weight = torch.ones(1, requires_grad=True)
    x, deviation = torch.tensor([[2.0]]), 0.1
    noise = deviation * torch.randn(1, 1, generator=torch.Generator().manual_seed(3))
    found = slope(
        lambda v: weight * v,
        x,
        weight * x,
        deviation=deviation,
        copies=1,
        generator=torch.Generator().manual_seed(3),
    )
    (gradient,) = torch.autograd.grad(found.sum(), weight)
    torch.testing.assert_close(gradient, (-noise.sign() * 2 / noise.abs())[0])


def test_a_class_is_forgotten_by_more_passes_than_one(digits):
    forget = ForgetTarget(digits.of_class(3), "class", (3,))
    method = JiT(copies=5, optimizer="adam", learning_rate=2e-4, epochs=60)
    found = method.probe(digits.model, forget, Context())
    edit = method.edit(digits.model, forget, found, Context())
    assert found.facts["scale"] == pytest.approx(forget.rows.x.std(correction=0).item(), rel=1e-4)
    assert edit.stopped.startswith("Forgotten after")
    assert digits.accuracy(edit.model, 3) < 0.1


def test_a_network_that_is_flat_is_left_alone():
    model = nn.Linear(2, 3)
    nn.init.zeros_(model.weight)
    forget = ForgetTarget(
        TensorRows(torch.randn(4, 2), torch.zeros(4, dtype=torch.long)), "samples"
    )
    method = JiT(copies=3)
    edit = method.edit(model, forget, method.probe(model, forget, Context()), Context())
    assert torch.equal(edit.model.weight, model.weight)
