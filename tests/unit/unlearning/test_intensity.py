"""Intensity takes an edit from unchanged to full, and steers it to the share that is asked for."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lethe.data.rows import TensorRows
from lethe.unlearning.gradient_ascent import GradientAscent
from lethe.unlearning.intensity import Pivot, pivot_of, restoring
from lethe.unlearning.losses import pull_masked, pull_rows
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.pte import PTE

METHODS = pytest.mark.parametrize("method", [PTE, GradientAscent], ids=lambda m: m.name)
SHARES = st.floats(0, 1)


def forget(digits, method, forget=None):
    forget = forget or ForgetTarget(digits.of_class(3), "class", (3,))
    context = Context(seed=0)
    return method.edit(digits.model, forget, method.probe(digits.model, forget, context), context)


def recognised(digits, model) -> float:
    rows = digits.of_class(3)
    with torch.no_grad():
        return (model(rows.x).argmax(1) == 3).float().mean().item()


@METHODS
def test_nothing_changes_at_zero(digits, method):
    edit = forget(digits, method(intensity=0.0))
    before = digits.model.state_dict()
    assert all(torch.equal(before[name], found) for name, found in edit.model.state_dict().items())
    assert edit.model is not digits.model
    assert edit.epochs == 0
    assert all(curve == [] for curve in edit.curves.values())
    assert edit.stopped.startswith("Intensity 0")


@METHODS
def test_more_intensity_leaves_fewer_rows_recognised(digits, method):
    edits = [forget(digits, method(intensity=k)) for k in (0.0, 0.3, 0.6, 1.0)]
    shares = [recognised(digits, edit.model) for edit in edits]
    assert all(first > second for first, second in pairwise(shares))
    assert shares[0] > 0.99
    assert shares[-1] == 0
    # Steered from both sides: neither nearly unchanged nor nearly full.
    assert abs(shares[1] - 0.7) < 0.25
    assert abs(shares[2] - 0.4) < 0.3
    others = [c for c in range(10) if c != 3]
    assert min(digits.accuracy(edit.model, *others) for edit in edits[:-1]) > 0.9
    assert "recognised after" in edits[1].stopped
    assert edits[-1].stopped.startswith("Forgotten after")


def test_a_gentler_ascent_costs_less(digits):
    """Ascent alone holds nothing; below full intensity masked distillation does."""
    others = [c for c in range(10) if c != 3]
    full, most = (forget(digits, GradientAscent(intensity=k)).model for k in (1.0, 0.9))
    assert recognised(digits, most) < 0.3
    assert digits.accuracy(most, *others) > digits.accuracy(full, *others)


def test_single_rows_are_let_be_at_a_share_between_their_target_and_all(digits):
    rows = TensorRows(digits.rows.x[:40], digits.rows.y[:40])
    target = ForgetTarget(rows, "samples")
    edit = forget(digits, GradientAscent(intensity=0.5, target=0.5), target)
    assert "75.0% allowed" in edit.stopped
    with torch.no_grad():
        share = (edit.model(rows.x).argmax(1) == rows.y).float().mean().item()
    assert 0.5 < share < 0.95


def test_what_a_step_descends_by_hand():
    pivot = Pivot(intensity=0.75, target=0.2)
    assert pivot.allowed == pytest.approx(0.4)
    terms = {name: torch.tensor(v) for name, v in (("away", 2.0), ("hold", 3.0), ("back", 8.0))}
    assert pivot.loss(torch.tensor(0.5), **terms).item() == 5
    assert pivot.loss(torch.tensor(0.3), **terms).item() == 5  # 3 + 8 / 4
    assert pivot.loss(torch.tensor(0.3), **{**terms, "away": torch.tensor(9.0)}).item() == 5


@given(SHARES, SHARES, SHARES)
def test_the_share_allowed_falls_with_the_intensity(first, second, target):
    low, high = sorted((first, second))
    assert Pivot(high, target).allowed <= Pivot(low, target).allowed + 1e-12
    assert target - 1e-12 <= Pivot(high, target).allowed <= 1 + 1e-12
    assert pivot_of(1.0, target) is None


def test_the_way_back_is_the_divergence_from_the_original():
    logits, teacher = torch.randn(5, 4), torch.randn(5, 4)
    q, p = teacher.softmax(1), logits.softmax(1)
    torch.testing.assert_close(restoring(logits, teacher), (q * (q / p).log()).sum(1))
    assert restoring(teacher, teacher).abs().max() == 0


def test_masks_by_row_agree_with_one_mask_for_all():
    logits, teacher = torch.randn(6, 5, requires_grad=True), torch.randn(6, 5)
    mask = torch.tensor([True, False, False, True, False])
    by_row = pull_rows(logits, teacher, mask.expand(6, 5))
    torch.testing.assert_close(by_row, pull_masked(logits, teacher, mask, 1.0))
    by_row.sum().backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, mask] == 0).all()


@pytest.mark.parametrize("options", [{"pull": "none"}, {"pull": "teacher_only"}, {"push": "none"}])
def test_an_edit_without_something_to_turn_between_takes_no_intensity(options):
    PTE(**options)
    with pytest.raises(ValidationError, match="intensity below 1 needs a push"):
        PTE(**options, intensity=0.5)


@METHODS
@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_an_intensity_outside_is_refused(method, wrong):
    with pytest.raises(ValidationError, match="intensity"):
        method(intensity=wrong)
