"""l1-sparse adds a falling penalty to fine-tuning; fine-tuning is cross-entropy alone."""

import math

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.fine_tune import FineTune
from lethe.unlearning.l1_sparse import L1Sparse, decayed, l1_norm
from lethe.unlearning.method import Context, ForgetTarget

FORGET = ForgetTarget(
    TensorRows(torch.tensor([[1.0, 0.0]]), torch.tensor([0])),
    "class",
    (0,),
    TensorRows(torch.tensor([[0.0, 1.0]]), torch.tensor([1])),
)


def network(*, first: float = 2.0) -> nn.Linear:
    """Logits 0 on the retained row; weights of sum `first` + 1 in absolute value."""
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[first, 0.0], [-1.0, 0.0]]))
    return model


def carry_out(method, model):
    return method.edit(model, FORGET, method.probe(model, FORGET, Context()), Context())


def test_the_weight_falls_linearly_to_nothing():
    assert [decayed(0.2, epoch, 4) for epoch in range(6)] == pytest.approx(
        [0.2, 0.15, 0.1, 0.05, 0, 0]
    )
    assert decayed(0.2, 0, 0) == 0


def test_the_norm_is_over_all_weights_that_may_change():
    model = nn.Sequential(network(), nn.Linear(2, 1))
    model[1].requires_grad_(requires_grad=False)
    assert l1_norm(model).item() == 3


def test_one_step_adds_the_sign_of_each_weight():
    edit = carry_out(L1Sparse(alpha=0.5, epochs=1, learning_rate=0.1), network())
    # Column 0 sees the penalty alone; column 1 the cross-entropy (p - onehot), its sign(0) is 0.
    expected = torch.tensor([[2 - 0.1 * 0.5, -0.1 * 0.5], [-1 + 0.1 * 0.5, 0.1 * 0.5]])
    torch.testing.assert_close(edit.model.weight, expected)
    assert edit.curves["l1"] == pytest.approx([0.5 * 3])
    assert edit.curves["retained"] == pytest.approx([math.log(2)])


def test_plain_epochs_come_last_and_have_no_penalty():
    edit = carry_out(L1Sparse(alpha=0.5, epochs=3, plain_epochs=2), network())
    assert edit.curves["l1"][0] > 0
    assert edit.curves["l1"][1:] == [0, 0]


def test_fine_tuning_never_looks_at_forget_rows():
    edit = carry_out(FineTune(epochs=1, learning_rate=0.1), network())
    expected = torch.tensor([[2.0, -0.1 * 0.5], [-1.0, 0.1 * 0.5]])
    torch.testing.assert_close(edit.model.weight, expected)
    assert set(edit.curves) == {"loss", "retained", "forget_accuracy"}


def test_fine_tuning_the_last_layers_leaves_the_others():
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    edit = carry_out(FineTune(epochs=1, edited_share=0.5), model)
    assert torch.equal(edit.model[0].weight, model[0].weight)
    assert not torch.equal(edit.model[2].bias, model[2].bias)
