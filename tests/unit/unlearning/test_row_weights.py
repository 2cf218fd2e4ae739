"""Every edit over forget rows can weigh them, and the weights act on each row alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.unlearning.boundary_expand import BoundaryExpand
from lethe.unlearning.boundary_shrink import BoundaryShrink
from lethe.unlearning.classes import barred_outputs
from lethe.unlearning.delete import Delete
from lethe.unlearning.gradient_ascent import GradientAscent
from lethe.unlearning.imu import IMU
from lethe.unlearning.influence import influence_weights, ranked
from lethe.unlearning.jit import JiT
from lethe.unlearning.l2ul import L2UL
from lethe.unlearning.method import Context, ForgetTarget, Instructions
from lethe.unlearning.random_labels import RandomLabels
from lethe.unlearning.salun_forget_only import SalUnForgetOnly

# One step, and nothing but the push.
BRIEF = {"weights": "influence", "epochs": 1, "least_steps": 1}
METHODS = [
    GradientAscent(**BRIEF),
    BoundaryShrink(**BRIEF),
    BoundaryExpand(**BRIEF),
    Delete(**BRIEF, repair_epochs=0),
    RandomLabels(**BRIEF),
    SalUnForgetOnly(**BRIEF, salient_share=1.0),
    L2UL(**BRIEF, adversarial_weight=0.0, importance_weight=0.0),
    JiT(**BRIEF),
    IMU(**BRIEF, sparsity=0.0),
]
ALL = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
PLAIN = {"optimizer": "sgd", "learning_rate": 0.1, "clip": 1e9, "growth": 1.0}


def network() -> nn.Linear:
    """Three classes; each unit vector, as a row, meets a column of weights of its own."""
    torch.manual_seed(1)
    model = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        model.weight.add_(torch.tensor([[1.0], [0.0], [0.0]]))
    return model


def target() -> ForgetTarget:
    return ForgetTarget(TensorRows(torch.eye(3), torch.zeros(3).long()), "class", (0,))


def weighed(found: Instructions, weights) -> Instructions:
    return Instructions({**found.tensors, "weights": torch.as_tensor(weights)}, found.facts)


def change(method, model, weights) -> torch.Tensor:
    """What the edit adds to the weights of the layer, (3, 3)."""
    found = method.probe(model, target(), Context())
    edit = method.edit(model, target(), weighed(found, weights), Context())
    return (edit.model.weight - model.weight).detach()


@ALL
def test_a_row_of_weight_zero_does_not_move(method):
    moved = change(method, network(), [1.0, 0.0, 2.0]).abs().sum(0)
    assert moved[1] == 0
    assert moved[0] > 0
    assert moved[2] > 0


@ALL
def test_equal_weights_are_no_weights(method):
    model, plain = network(), method.model_copy(update={"weights": "uniform"})
    found = plain.probe(model, target(), Context())
    assert "weights" not in found.tensors
    expected = plain.edit(model, target(), found, Context()).model.weight
    assert torch.equal(change(method, model, torch.ones(3)) + model.weight, expected)


@ALL
def test_the_probe_hands_on_the_influence_of_each_row(method, digits):
    forget = ForgetTarget(digits.of_class(3), "class", (3,))
    method = method.model_copy(update={"top": 0.3})
    if method.name == "l2ul":
        method = method.model_copy(update={"examples_per_row": 1, "steps": 1, "importance_rows": 5})
    found = method.probe(digits.model, forget, Context())
    outputs = barred_outputs(digits.model, forget, torch.device("cpu"))
    expected = influence_weights(digits.model, forget, outputs, top=0.3, batch_size=64)
    torch.testing.assert_close(found.tensors["weights"], expected)
    assert found.facts["weighed"] == int((expected > 0).sum()) <= round(0.3 * len(forget.rows))


@ALL
def test_instructions_without_weights_are_refused(method):
    model = network()
    found = method.model_copy(update={"weights": "uniform"}).probe(model, target(), Context())
    with pytest.raises(MethodError, match="Run the probe again"):
        method.edit(model, target(), found, Context())


@pytest.mark.parametrize("kind", [GradientAscent, BoundaryShrink, Delete, RandomLabels])
@settings(max_examples=20, deadline=None)
@given(weights=st.lists(st.floats(0, 4), min_size=3, max_size=3))
def test_a_step_moves_each_row_in_proportion_to_its_weight(kind, weights):
    extra = {"repair_epochs": 0} if kind is Delete else {}
    method, model = kind(**BRIEF, **PLAIN, **extra), network()
    expected = change(method, model, torch.ones(3)) * torch.tensor(weights)
    torch.testing.assert_close(change(method, model, weights), expected, atol=1e-5, rtol=1e-4)


@given(
    influence=st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=30),
    top=st.floats(0.01, 1),
)
def test_weights_are_shares_of_one_and_go_to_rows_that_agree(influence, top):
    found = ranked(torch.tensor(influence, dtype=torch.float64), top)
    assert found.mean().item() == pytest.approx(1, rel=1e-5)
    assert (found >= 0).all()
    agreeing = [value < 0 for value in influence]
    if any(agreeing):
        assert (found > 0).sum() <= max(1, round(top * len(influence)))
        assert not (found > 0)[~torch.tensor(agreeing)].any()
    else:
        assert (found == 1).all()
