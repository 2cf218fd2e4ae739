"""Influence weights are those of an implementation with explicit gradients of every row."""

import math

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.classes import barred_outputs
from lethe.unlearning.influence import influence_weights, ranked
from lethe.unlearning.method import ForgetTarget


def by_hand(model, layer, rows, top):
    """The formula, with one backward pass for each row."""
    gradients = []
    for x, y in zip(rows.x, rows.y, strict=True):
        loss = nn.functional.cross_entropy(model(x[None]), y[None])
        found = torch.autograd.grad(loss, list(layer.parameters()))
        gradients.append(torch.cat([g.flatten() for g in found]))
    g = torch.stack(gradients)
    fisher = g.square().mean(0) + 0.01
    influence = -(g * (g.mean(0) / fisher)).sum(1)
    order = influence.argsort()[: round(top * len(g))]
    roots = torch.zeros(len(g), dtype=g.dtype)
    roots[order] = (-influence[order]).clamp_min(0).sqrt()
    chosen = roots[roots > 0]
    roots = torch.where(roots > 0, roots.clamp_max(chosen.quantile(0.93)), roots)
    return roots / roots.mean()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("top", [1.0, 0.4])
def test_they_equal_the_formula(bias, top):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3, bias=bias)).double()
    rows = TensorRows(torch.randn(30, 5, dtype=torch.float64), torch.randint(3, (30,)))
    forget = ForgetTarget(rows, "samples")
    outputs = barred_outputs(model, forget, torch.device("cpu"))
    found = influence_weights(model, forget, outputs, top=top, batch_size=7)
    torch.testing.assert_close(found.double(), by_hand(model, model[2], rows, top))
    assert found.mean().item() == pytest.approx(1)
    assert (found > 0).sum() <= round(top * 30)


def test_ranks_by_hand():
    """Influences -4 and -1 agree with the mean, 2 does not; at the 0.93 quantile 2 becomes 1.93."""
    found = ranked(torch.tensor([-4.0, 2.0, -1.0, 0.0], dtype=torch.float64), 1.0)
    expected = torch.tensor([1.93, 0.0, 1.0, 0.0])
    torch.testing.assert_close(found, expected / expected.mean())
    assert ranked(torch.tensor([-4.0, -1.0, 0.0, 3.0]), 0.25).tolist() == [4.0, 0.0, 0.0, 0.0]


def test_where_no_row_stands_out_all_weigh_the_same():
    assert ranked(torch.zeros(3), 0.5).tolist() == [1.0, 1.0, 1.0]
    assert ranked(torch.ones(2), 0.5).tolist() == [1.0, 1.0]


def test_a_row_that_the_model_is_sure_of_still_has_an_influence():
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[20.0], [0.0]]))  # 1 - p is 2e-9, below float32's step
    rows = TensorRows(torch.tensor([[1.0], [0.9]]), torch.tensor([0, 0]))
    forget = ForgetTarget(rows, "class", (0,))
    outputs = barred_outputs(model, forget, torch.device("cpu"))
    first, second = influence_weights(model, forget, outputs, top=1.0, batch_size=2).tolist()
    assert 0 < first < second
    assert math.isfinite(second)
