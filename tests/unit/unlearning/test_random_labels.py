"""Random labels are wrong, retained, drawn evenly, and taught."""

import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.random_labels import RandomLabels, draw_labels


def test_labels_are_even_over_what_is_allowed():
    barred = torch.tensor([True, False, True, False, False]).expand(9000, -1)
    labels = draw_labels(barred, seed=0)[:, 0]
    counts = labels.bincount(minlength=5)
    assert counts[[0, 2]].tolist() == [0, 0]
    assert (counts[[1, 3, 4]] - 3000).abs().max() < 200
    assert torch.equal(labels, draw_labels(barred, seed=0)[:, 0])
    assert not torch.equal(labels, draw_labels(barred, seed=1)[:, 0])


def test_a_class_request_never_draws_any_forget_class(digits):
    forget = ForgetTarget(digits.of_class(3, 8), "class", (3, 8))
    found = RandomLabels().probe(digits.model, forget, Context())
    assert not torch.isin(found.tensors["labels"], torch.tensor([3, 8])).any()
    assert sum(found.facts["instructed"]) == len(forget.rows)


def test_a_request_by_rows_never_draws_a_rows_own_label(digits):
    rows = TensorRows(digits.rows.x[:300], digits.rows.y[:300])
    found = RandomLabels().probe(digits.model, ForgetTarget(rows, "samples"), Context())
    assert not (found.tensors["labels"] == rows.y).any()
    assert set(found.tensors["labels"].tolist()) == set(range(10))


def test_one_step_is_that_of_the_cross_entropy_to_the_label():
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0], [0.0]]))
    forget = ForgetTarget(TensorRows(torch.ones(1, 1), torch.tensor([0])), "class", (0,))
    method = RandomLabels(optimizer="sgd", learning_rate=0.1, clip=9.0, epochs=1, least_steps=1)
    found = method.probe(model, forget, Context())
    assert found.tensors["labels"].tolist() == [1]  # all that is left
    edited = method.edit(model, forget, found, Context()).model.weight
    p = torch.sigmoid(torch.tensor(1.0)).item()
    torch.testing.assert_close(edited, torch.tensor([[1 - 0.1 * p], [0.1 * p]]))
