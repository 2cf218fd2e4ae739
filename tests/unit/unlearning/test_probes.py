"""Probes leave the forget class, stay in their ball and move where plain gradients underflow."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.unlearning.probes import anchors, data_scale, leave, reach


def mask(*classes: int, of: int = 10) -> torch.Tensor:
    found = torch.zeros(of, dtype=torch.bool)
    found[list(classes)] = True
    return found


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=40),
    offset=st.sampled_from([0.0, 1e5]),
    batch_size=st.integers(1, 7),
)
def test_the_scale_is_the_standard_deviation_however_it_is_batched(values, offset, batch_size):
    x = torch.tensor(values)[:, None] + offset
    rows = TensorRows(x, torch.zeros(len(x), dtype=torch.long))
    expected = x.double().std(correction=0).item()
    assert data_scale(rows, batch_size) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_probes_leave_their_class_and_stay_in_the_ball(digits, norm, steps):
    x = digits.of_class(3).x
    radius = 0.2
    moved = leave(digits.model, x, mask(3), radius=radius, norm=norm, steps=steps)
    delta = (moved - x).flatten(1)
    size = delta.abs().amax(1) if norm == "linf" else delta.square().mean(1).sqrt()
    assert (size <= radius * 1.001).all()
    before = (digits.model(x).argmax(1) == 3).float().mean()
    after = (digits.model(moved).argmax(1) == 3).float().mean()
    assert before > 0.95
    assert after < 0.3
    noise = x + radius * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    assert (digits.model(noise).argmax(1) == 3).float().mean() > after + 0.3


def test_a_probe_moves_where_the_gradient_of_cross_entropy_is_zero():
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[300.0, 0.0], [0.0, 1.0]]))
    model.requires_grad_(requires_grad=False)
    x = torch.ones(1, 2, requires_grad=True)
    loss = nn.functional.cross_entropy(model(x), torch.tensor([0]))
    assert torch.autograd.grad(loss, x)[0].abs().max() == 0
    moved = leave(model, x.detach(), mask(0, of=2), radius=0.5, norm="linf", steps=1)
    assert moved.tolist() == [[0.5, 1.5]]


def test_several_forget_classes_are_left_together(digits):
    x = digits.of_class(3, 8).x
    one = leave(digits.model, x, mask(3), radius=0.2, norm="linf", steps=3)
    both = leave(digits.model, x, mask(3, 8), radius=0.2, norm="linf", steps=3)

    def recognised(inputs):
        return torch.isin(digits.model(inputs).argmax(1), torch.tensor([3, 8])).float().mean()

    assert recognised(both) < 0.4
    assert recognised(both) < recognised(one)


def test_a_targeted_probe_reaches_its_class(digits):
    x = digits.of_class(3).x[:50]
    targets = torch.arange(50) % 10
    moved = reach(digits.model, x, targets, 10, radius=0.4, norm="l2", steps=4)
    assert (digits.model(moved).argmax(1) == targets).float().mean() > 0.9


def test_anchors_cover_every_retained_class_evenly_and_depend_on_the_seed_alone(digits):
    def make(seed):
        return anchors(
            digits.model,
            digits.of_class(3).x,
            mask(3, 8),
            per_class=6,
            radius=0.4,
            steps=2,
            batch_size=16,
            generator=torch.Generator().manual_seed(seed),
        )

    inputs, logits, targets = make(0)
    assert targets.bincount(minlength=10).tolist() == [6, 6, 6, 0, 6, 6, 6, 6, 0, 6]
    assert inputs.shape == (48, 1, 8, 8)
    torch.testing.assert_close(digits.model(inputs), logits)
    assert torch.equal(inputs, make(0)[0])
    assert not torch.equal(inputs, make(1)[0])


def test_no_anchors_are_an_empty_set(digits):
    inputs, logits, targets = anchors(
        digits.model,
        digits.of_class(3).x,
        mask(3),
        per_class=0,
        radius=0.4,
        steps=2,
        batch_size=16,
        generator=torch.Generator(),
    )
    assert (inputs.shape, logits.shape, targets.shape) == ((0, 1, 8, 8), (0, 10), (0,))


def test_a_model_without_gradients_is_refused():
    class Counting(nn.Module):
        def forward(self, x):
            return nn.functional.one_hot((x.sum(1) > 0).long(), 2).float()

    with pytest.raises(MethodError, match="differentiably"):
        leave(Counting(), torch.ones(1, 2), mask(0, of=2), radius=1.0, norm="l2", steps=1)
