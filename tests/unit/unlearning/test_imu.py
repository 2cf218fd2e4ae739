"""IMU changes the head alone, or all, by weighed ascent and an L1 norm."""

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.imu import IMU
from lethe.unlearning.method import Context, ForgetTarget, Instructions


@pytest.mark.parametrize(("scope", "changed"), [("head", False), ("all", True)])
def test_the_scope_says_which_layers_change(digits, scope, changed):
    forget = ForgetTarget(digits.of_class(3), "class", (3,))
    method = IMU(scope=scope, epochs=2, least_steps=1)
    found = method.probe(digits.model, forget, Context())
    edited = method.edit(digits.model, forget, found, Context()).model.state_dict()
    original = digits.model.state_dict()
    assert not torch.equal(edited["head.weight"], original["head.weight"])
    others = [n for n in original if not n.startswith("head") and "running" not in n]
    assert any(not torch.equal(edited[n], original[n]) for n in others) == changed
    assert found.facts["output_layer"] == "head"
    assert found.facts["weighed"] <= round(0.5 * len(forget.rows))


def test_one_step_by_hand():
    """Weight 2 on one row and an L1 norm of 1: the gradients are 2 (1 - p) and 0.25, signed."""
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.5], [-0.5]]))
    forget = ForgetTarget(TensorRows(torch.ones(1, 1), torch.tensor([0])), "class", (0,))
    method = IMU(sparsity=0.25, learning_rate=0.1, clip=9.0, epochs=1, least_steps=1)
    facts = {"rows": 1, "output_layer": ""}
    edit = method.edit(
        model, forget, Instructions({"weights": torch.tensor([2.0])}, facts), Context()
    )
    q = 1 - torch.sigmoid(torch.tensor(1.0)).item()
    step = 0.1 * (2 * q + 0.25)
    torch.testing.assert_close(edit.model.weight, torch.tensor([[0.5 - step], [-0.5 + step]]))
    assert edit.curves["sparsity"] == [pytest.approx(0.25)]
