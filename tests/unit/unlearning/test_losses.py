"""The losses are the formulas that the documentation states."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lethe.unlearning.losses import (
    forget_mass,
    pull_masked,
    pull_teacher_only,
    push_bounded,
    push_cross_entropy,
    retained_only,
)

logit = st.floats(-12, 12, width=32)


@st.composite
def cases(draw) -> tuple[Tensor, Tensor, Tensor]:
    """Student and teacher logits (3, K) in double precision and a mask with both kinds in it."""
    classes = draw(st.integers(2, 6))
    row = st.lists(logit, min_size=classes, max_size=classes)
    student, teacher = (
        torch.tensor(draw(st.lists(row, min_size=3, max_size=3)), dtype=torch.float64)
        for _ in range(2)
    )
    forgotten = draw(
        st.lists(st.booleans(), min_size=classes, max_size=classes).filter(
            lambda mask: any(mask) and not all(mask)
        )
    )
    return student, teacher, torch.tensor(forgotten)


@settings(deadline=None)
@given(cases())
def test_a_pull_with_the_teacher_masked_is_pure_retention_plus_bounded_push(case):
    student, teacher, forgotten = case
    whole = pull_teacher_only(student, teacher, forgotten, 1.0)
    parts = pull_masked(student, teacher, forgotten, 1.0) + push_bounded(student, forgotten)
    torch.testing.assert_close(whole, parts)


def test_the_identity_does_not_hold_at_other_temperatures():
    student, teacher = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.0, 3.0, 1.0]])
    forgotten = torch.tensor([True, False, False])
    whole = pull_teacher_only(student, teacher, forgotten, 2.0)
    parts = pull_masked(student, teacher, forgotten, 2.0) + push_bounded(student, forgotten)
    assert not torch.allclose(whole, parts, atol=1e-2)


@settings(deadline=None)
@given(cases())
def test_cross_entropy_is_bounded_push_plus_the_choice_among_retained(case):
    student, _, forgotten = case
    kept = int((~forgotten).nonzero()[0])
    labels = torch.full((len(student),), kept)
    among_retained = -retained_only(student, forgotten).log_softmax(1)[:, kept]
    torch.testing.assert_close(
        push_cross_entropy(student, labels), push_bounded(student, forgotten) + among_retained
    )


@settings(deadline=None)
@given(cases())
def test_the_bounded_push_equals_its_formula_and_its_gradient_the_forget_mass(case):
    student, _, forgotten = case
    student.requires_grad_()
    push = push_bounded(student, forgotten)
    (gradient,) = torch.autograd.grad(push.sum(), student)
    mass = forget_mass(student, forgotten).detach()
    torch.testing.assert_close(push.detach(), -torch.log1p(-mass), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradient[:, forgotten].sum(1), mass)
    assert gradient.abs().max() <= 1 + 1e-9


def test_the_bounded_push_stays_finite_where_one_minus_p_underflows():
    logits = torch.tensor([[500.0, 0.0, -3.0]], requires_grad=True)
    push = push_bounded(logits, torch.tensor([True, False, False]))
    (gradient,) = torch.autograd.grad(push.sum(), logits)
    assert push.item() == pytest.approx(500.0, abs=0.1)
    assert gradient.isfinite().all()


@settings(deadline=None)
@given(cases())
def test_pure_retention_does_not_see_the_forget_logits(case):
    student, teacher, forgotten = case
    moved = student + 7.0 * forgotten
    torch.testing.assert_close(
        pull_masked(student, teacher, forgotten, 2.0), pull_masked(moved, teacher, forgotten, 2.0)
    )
    assert (pull_masked(student, teacher, forgotten, 2.0) >= -1e-9).all()
    torch.testing.assert_close(
        pull_masked(teacher, teacher, forgotten, 2.0), torch.zeros(3, dtype=torch.float64)
    )
