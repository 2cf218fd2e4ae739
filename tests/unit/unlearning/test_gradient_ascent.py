"""Gradient ascent climbs the cross-entropy up to its bound."""

import math

import pytest
import torch
from torch import nn

from lethe.unlearning.gradient_ascent import bounded_ascent

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]], dtype=torch.float64)
BARRED = torch.tensor([[True, False, False], [True, False, False]])


def test_below_the_bound_it_is_minus_the_cross_entropy_with_its_gradient():
    logits = LOGITS[:1].clone().requires_grad_()
    ascent = bounded_ascent(logits, BARRED[:1])
    entropy = nn.functional.cross_entropy(LOGITS[:1], torch.tensor([0]))
    assert ascent.item() == pytest.approx(math.log(3) - entropy.item())
    (gradient,) = torch.autograd.grad(ascent.sum(), logits)
    torch.testing.assert_close(gradient, -(LOGITS[:1].softmax(1) - torch.tensor([[1.0, 0, 0]])))


def test_a_row_at_the_bound_is_let_go():
    logits = LOGITS[1:].clone().requires_grad_()
    ascent = bounded_ascent(logits, BARRED[1:])
    assert ascent.item() == 0
    assert torch.autograd.grad(ascent.sum(), logits)[0].abs().max() == 0
    assert bounded_ascent(logits, BARRED[1:], bound=5.0).item() > 0


def test_two_classes_are_one_mass():
    barred = torch.tensor([[True, True, False]])
    mass = LOGITS[:1].softmax(1)[0, :2].sum().log().item()
    assert bounded_ascent(LOGITS[:1], barred).item() == pytest.approx(mass + math.log(3))
