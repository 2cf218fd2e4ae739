"""NegGrad+ goes down on retained rows and up on forget rows, in a fixed mixture."""

import math

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.neggrad_plus import NegGradPlus


def test_one_step_is_the_mixture_of_both_gradients():
    """Logits (0, 0): each gradient of CE is (p - onehot) x with p = 1/2."""
    model = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(model.weight)
    forget = ForgetTarget(
        TensorRows(torch.tensor([[1.0, 0.0]]), torch.tensor([0])),
        "class",
        (0,),
        TensorRows(torch.tensor([[0.0, 1.0]]), torch.tensor([1])),
    )
    method = NegGradPlus(learning_rate=0.1, alpha=0.75, epochs=1)
    edit = method.edit(model, forget, method.probe(model, forget, Context()), Context())
    ascent = torch.tensor([-0.5, 0.5]) * 0.1 * 0.25  # away from class 0
    descent = torch.tensor([-0.5, 0.5]) * 0.1 * 0.75  # towards class 1
    torch.testing.assert_close(edit.model.weight[:, 0], ascent)
    torch.testing.assert_close(edit.model.weight[:, 1], descent)
    assert edit.curves["retained"] == pytest.approx([0.75 * math.log(2)])
    assert edit.curves["ascent"] == pytest.approx([-0.25 * math.log(2)])
    assert edit.curves["loss"] == pytest.approx([0.5 * math.log(2)])
