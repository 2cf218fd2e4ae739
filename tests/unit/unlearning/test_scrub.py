"""SCRUB leaves the teacher on forget rows first and stays with it on retained rows throughout."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lethe.data.rows import TensorRows
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.scrub import Scrub
from lethe.unlearning.teachers import divergence

FORGET = TensorRows(torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 0]))
RETAINED = TensorRows(torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]), torch.tensor([1, 2, 1]))
PLAIN = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 2, "weight_decay": 0.0}


def network() -> nn.Linear:
    model = nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]]))
    return model


def carry_out(method, model, retained=RETAINED):
    forget = ForgetTarget(FORGET, "class", (0,), retained)
    return method.edit(model, forget, method.probe(model, forget, Context()), Context())


def test_the_divergence_is_that_of_the_teacher_from_the_student():
    logits = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    teacher = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    p, q = (teacher / 2).softmax(1), (logits / 2).softmax(1)
    expected = 4 * (p * (p / q).log()).sum().item()
    assert divergence(logits, teacher, 2.0).item() == pytest.approx(expected)
    assert divergence(teacher, teacher, 2.0).item() == 0


def test_the_max_steps_come_first_and_end_after_their_epochs():
    edit = carry_out(Scrub(epochs=3, max_epochs=2, **PLAIN), network())
    # The second max-step: the min-step before it moved the student, so there is something to leave.
    # KL alone has no gradient where student and teacher agree: nothing is left in the first.
    assert edit.curves["leave"][0] == pytest.approx(0, abs=1e-6)
    assert edit.curves["leave"][1] <= 0
    assert edit.curves["leave"][2] == 0
    assert all(value > 0 for value in edit.curves["retained"])


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_one_epoch_is_what_a_plain_implementation_does(gamma):
    """Two epochs on one batch each, momentum by hand; the first max-step has no gradient."""
    retained = TensorRows(RETAINED.x[:2], RETAINED.y[:2])
    method = Scrub(epochs=2, max_epochs=2, gamma=gamma, alpha=0.7, temperature=2.0, **PLAIN)
    edited = carry_out(method, network(), retained).model.weight

    teacher, weight = network(), network().weight.detach().clone().requires_grad_()
    speed = torch.zeros_like(weight)

    def kl(x):
        p = (teacher(x) / 2).softmax(1).detach()
        return 4 * (p * (p.log() - (x @ weight.T / 2).log_softmax(1))).sum(1).mean()

    def leave():
        return -kl(FORGET.x)

    def stay():
        loss = F.cross_entropy(retained.x @ weight.T, retained.y)
        return gamma * loss + 0.7 * kl(retained.x)

    for loss in (leave, stay, leave, stay):
        (gradient,) = torch.autograd.grad(loss(), weight)
        speed = 0.9 * speed + gradient
        weight = (weight - 0.1 * speed).detach().requires_grad_()
    torch.testing.assert_close(edited, weight.detach())
    moved = not torch.allclose(edited, network().weight, atol=1e-4)
    assert moved == (gamma > 0)  # without CE nothing ever leaves the teacher


def test_without_max_steps_forget_rows_are_not_looked_at():
    edit = carry_out(Scrub(epochs=2, max_epochs=0, **PLAIN), network())
    assert edit.curves["leave"] == [0, 0]
    assert torch.equal(edit.model.weight[:, 0], network().weight[:, 0])
