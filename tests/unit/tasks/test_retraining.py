"""Retraining stands where a method stands, and cannot be taken for one that edits."""

import pytest
import torch

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.unlearning.method import Context, ForgetTarget, Instructions
from tasks.retraining import Retraining


def test_it_says_who_does_the_work_when_asked_to_edit():
    rows = TensorRows(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))
    target, network = ForgetTarget(rows, "class", (0,)), torch.nn.Linear(3, 2)
    with pytest.raises(MethodError, match=r"tasks\.retrain\.rebuild"):
        Retraining().probe(network, target, Context())
    with pytest.raises(MethodError, match=r"tasks\.retrain\.rebuild"):
        Retraining().edit(network, target, Instructions({}), Context())
