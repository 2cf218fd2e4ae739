"""Boundary Expand adds a class, teaches it and takes it away again."""

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.boundary_expand import BoundaryExpand, narrow, widen
from lethe.unlearning.method import Context, ForgetTarget


@pytest.mark.parametrize("bias", [True, False])
def test_the_layer_is_widened_and_narrowed_back(bias):
    head = nn.Linear(3, 2, bias=bias)
    head.weight.requires_grad_(requires_grad=False)
    before, x = {n: t.clone() for n, t in head.state_dict().items()}, torch.randn(4, 3)
    answers = head(x)
    assert widen(head, torch.tensor([1.0, 2.0, 3.0])) == 2
    torch.testing.assert_close(head(x)[:, :2], answers)
    torch.testing.assert_close(head(x)[:, 2], x @ torch.tensor([1.0, 2.0, 3.0]))
    assert head.out_features == 3
    assert not head.weight.requires_grad
    narrow(head, 2)
    assert head.out_features == 2
    assert all(torch.equal(before[n], t) for n, t in head.state_dict().items())


def test_one_step_is_toward_the_shadow_class():
    """Logits are all 0: the gradient is p - onehot(shadow), a third each."""
    model = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(model.weight)
    forget = ForgetTarget(TensorRows(torch.ones(1, 1), torch.tensor([0])), "class", (0,))
    method = BoundaryExpand(optimizer="sgd", learning_rate=0.3, epochs=1, least_steps=1)
    found = method.probe(model, forget, Context())
    found.tensors["shadow"].zero_()
    edited = method.edit(model, forget, found, Context()).model
    torch.testing.assert_close(edited.weight, torch.tensor([[-0.1], [-0.1]]))
    assert edited.out_features == 2


def test_forgotten_is_judged_without_the_shadow_class():
    """A shadow that takes every row at once does not make the class forgotten."""
    model = nn.Linear(1, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[5.0], [0.0], [0.0]]))
    forget = ForgetTarget(TensorRows(torch.ones(2, 1), torch.tensor([0, 0])), "class", (0,))
    method = BoundaryExpand(epochs=2, least_steps=1)
    found = method.probe(model, forget, Context())
    found.tensors["shadow"].fill_(50.0)
    edit = method.edit(model, forget, found, Context())
    assert edit.curves["forget_accuracy"] == [1.0, 1.0]
    assert edit.stopped.startswith("Not forgotten")


def test_a_class_can_be_forgotten(digits):
    forget = ForgetTarget(digits.of_class(3), "class", (3,))
    method = BoundaryExpand(learning_rate=1e-3, least_steps=100)
    edit = method.edit(
        digits.model, forget, method.probe(digits.model, forget, Context()), Context()
    )
    assert digits.accuracy(edit.model, 3) < 0.1
    assert edit.model.head.out_features == 10
