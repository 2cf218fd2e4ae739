"""DELETE distils the original's own words, with the forget classes cut out of the teacher alone."""

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.delete import Delete
from lethe.unlearning.method import Context, ForgetTarget


def test_one_step_by_hand():
    """z0 = (2, 1, 0), F = {0}: the teacher is softmax(1, 0), the gradient softmax(z) - teacher."""
    model = nn.Linear(1, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0], [1.0], [0.0]]))
    forget = ForgetTarget(TensorRows(torch.ones(1, 1), torch.tensor([0])), "class", (0,))
    method = Delete(optimizer="sgd", learning_rate=0.1, clip=9.0, epochs=1, least_steps=1)
    found = method.probe(model, forget, Context())
    assert found.tensors["teacher_logits"].tolist() == [[2.0, 1.0, 0.0]]
    assert found.facts["instructed"] == [0, 1, 0]
    edit = method.edit(model, forget, found, Context())
    z = torch.tensor([2.0, 1.0, 0.0])
    teacher = torch.tensor([-torch.inf, 1.0, 0.0]).softmax(0)
    torch.testing.assert_close(edit.model.weight[:, 0], z - 0.1 * (z.softmax(0) - teacher))
    expected = (teacher[1:] * (teacher[1:] / z.softmax(0)[1:]).log()).sum().item()
    assert edit.curves["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_rows_go_where_the_original_would_send_them_next(digits):
    forget = ForgetTarget(digits.of_class(3), "class", (3,))
    method = Delete()
    found = method.probe(digits.model, forget, Context())
    edit = method.edit(digits.model, forget, found, Context())
    second = found.tensors["teacher_logits"].index_fill(1, torch.tensor([3]), -torch.inf).argmax(1)
    with torch.no_grad():
        agree = (edit.model(forget.rows.x).argmax(1) == second).float().mean()
    assert agree > 0.8
    retained = [label for label in range(10) if label != 3]
    assert digits.accuracy(edit.model, *retained) > digits.accuracy(digits.model, *retained) - 0.03
    assert edit.stopped.endswith("2 of repair.")
