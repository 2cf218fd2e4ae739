"""Boundary Shrink sends each row to the class across its nearest boundary, never back."""

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.boundary_shrink import BoundaryShrink
from lethe.unlearning.method import Context, ForgetTarget


def linear():
    """Class 0 in the middle of a line, 1 to its right and 2 to its left, as a linear network."""
    model = nn.Linear(1, 3)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0], [2.0], [-2.0]]))
        model.bias.copy_(torch.tensor([0.0, -2.0, -2.0]))
    return model


def test_the_nearest_wrong_class_by_one_step():
    """Boundaries are at 1 and -1; rows at 0.6 and -0.4 step by one deviation, 0.5, outwards."""
    rows = TensorRows(torch.tensor([[0.6], [-0.4]]), torch.tensor([0, 0]))
    forget = ForgetTarget(rows, "class", (0,))
    found = BoundaryShrink(epsilon=1.0).probe(linear(), forget, Context())
    assert found.tensors["labels"].tolist() == [1, 2]
    # 0.6 + 0.5 is across, -0.4 - 0.5 is not: that probe failed and is not told to stay.
    assert found.facts["failed_probes"] == 1
    assert found.facts["landed"] == [1, 1, 0]
    assert found.facts["instructed"] == [0, 1, 1]
    assert found.facts["scale"] == pytest.approx(0.5)


def test_probes_that_all_fail_still_leave_the_class(digits):
    forget = ForgetTarget(digits.of_class(3), "class", (3,))
    found = BoundaryShrink(epsilon=1e-6).probe(digits.model, forget, Context())
    assert found.facts["failed_probes"] > 0.9 * len(forget.rows)
    assert not (found.tensors["labels"] == 3).any()


def test_the_labels_are_taught(digits):
    forget = ForgetTarget(digits.of_class(3), "class", (3,))
    method = BoundaryShrink(steps=2)
    found = method.probe(digits.model, forget, Context())
    edited = method.edit(digits.model, forget, found, Context()).model
    with torch.no_grad():
        agree = (edited(forget.rows.x).argmax(1) == found.tensors["labels"]).float().mean()
    assert agree > 0.7
