"""L2UL climbs, held by adversarial examples and by weights that matter little to the rows."""

import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.unlearning.importance import importances
from lethe.unlearning.l2ul import L2UL
from lethe.unlearning.method import Context, ForgetTarget, Instructions

CPU = torch.device("cpu")


def test_importances_by_hand():
    """f(x) = W x with W = I and rows (3, 4) and (0, 1): d|f|/dW = f x' / |f|, in absolute mean."""
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.eye(2))
    rows = TensorRows(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    found = importances(model, rows, most=10, seed=0, device=CPU)["weight"]
    first = torch.tensor([[9.0, 12.0], [12.0, 16.0]]) / 5
    mean = (first + torch.tensor([[0.0, 0.0], [0.0, 1.0]])) / 2
    torch.testing.assert_close(found, (mean - mean.min()) / (mean.max() - mean.min()))


def test_importances_are_of_each_row_and_of_so_many_rows_only():
    model = nn.Linear(1, 1, bias=False)
    rows = TensorRows(torch.ones(50, 1), torch.zeros(50, dtype=torch.long))
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    importances(model, rows, most=7, seed=0, device=CPU)
    assert len(calls) == 7


def test_examples_reach_their_targets_and_are_never_a_rows_own_label(digits):
    rows = TensorRows(digits.rows.x[:30], digits.rows.y[:30])
    method = L2UL(examples_per_row=3, importance_rows=5)
    found = method.probe(digits.model, ForgetTarget(rows, "samples"), Context())
    examples, labels = found.tensors["examples"], found.tensors["labels"]
    with torch.no_grad():
        assert torch.equal(digits.model(examples).argmax(1), labels)
    assert found.facts["examples"] == 90
    assert 0 < found.facts["examples_reached"] == len(labels) <= 90
    radius = 1.0 * rows.x.std(correction=0)
    nearest = torch.cdist(examples.flatten(1), rows.x.flatten(1)).min(1).values / 8
    assert nearest.max() <= radius + 1e-4  # root-mean-square over 64 values


def test_the_bank_bounds_the_examples(digits):
    rows = TensorRows(digits.rows.x[:30], digits.rows.y[:30])
    method = L2UL(bank_rows=10, importance_rows=1, steps=1)
    found = method.probe(digits.model, ForgetTarget(rows, "samples"), Context())
    assert found.facts["examples"] == 10


def test_weights_that_matter_little_are_held():
    """Both columns of a zero network are pushed alike; the one that is free goes further."""
    model = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(model.weight)
    forget = ForgetTarget(TensorRows(torch.ones(1, 2), torch.tensor([0])), "class", (0,))
    method = L2UL(optimizer="sgd", learning_rate=0.1, importance_weight=5.0, bound=9.0, clip=9.0)
    free = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    found = Instructions(
        {"examples": torch.empty(0, 2), "labels": torch.empty(0).long(), "free.weight": free},
        {"rows": 1},
    )
    with torch.no_grad():
        model.weight[0] += 0.5  # recognised at first
    edited = method.edit(model, forget, found, Context()).model.weight
    moved = (edited - model.weight).abs()
    assert (moved[:, 0] > 1.5 * moved[:, 1]).all()
    assert (moved[:, 1] > 0).all()


def test_examples_hold_their_classes(digits):
    forget = ForgetTarget(digits.of_class(3), "class", (3,))
    retained = [label for label in range(10) if label != 3]

    def loss(weight):
        method = L2UL(
            examples_per_row=5, importance_rows=5, adversarial_weight=weight, importance_weight=0.0
        )
        found = method.probe(digits.model, forget, Context())
        edit = method.edit(digits.model, forget, found, Context())
        return digits.accuracy(digits.model, *retained) - digits.accuracy(edit.model, *retained)

    assert loss(10.0) < loss(0.0)
