"""SalUn learns random and retained labels in the salient weights and, momentum or not, no other."""

import math

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.unlearning.method import Context, ForgetTarget, Instructions
from lethe.unlearning.salun import SalUn
from lethe.unlearning.salun_forget_only import SalUnForgetOnly


def target(digits) -> ForgetTarget:
    others = digits.of_class(*(label for label in range(10) if label != 3))
    return ForgetTarget(digits.of_class(3), "class", (3,), others)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_weights_outside_the_mask_stay_exactly(digits, optimizer):
    """Neither momentum nor weight decay leaks through."""
    rate = 1e-3 if optimizer == "adam" else 0.013
    method = SalUn(
        salient_share=0.2, epochs=2, optimizer=optimizer, learning_rate=rate, weight_decay=0.01
    )
    forget = target(digits)
    found = method.probe(digits.model, forget, Context())
    edited = method.edit(digits.model, forget, found, Context()).model
    weights = dict(digits.model.named_parameters())
    assert found.facts["salient"] == round(0.2 * sum(w.numel() for w in weights.values()))
    for name, weight in edited.named_parameters():
        mask = found.tensors[f"mask.{name}"]
        assert torch.equal(weight[~mask], weights[name][~mask])
        assert not mask.any() or (weight[mask] != weights[name][mask]).any()


def test_the_probe_is_that_of_the_variant_without_retained_rows(digits):
    forget = target(digits)
    own = SalUn().probe(digits.model, forget, Context(seed=3))
    alone = SalUnForgetOnly().probe(digits.model, forget, Context(seed=3))
    assert own.tensors.keys() == alone.tensors.keys()
    assert all(torch.equal(own.tensors[name], alone.tensors[name]) for name in own.tensors)
    assert 3 not in own.tensors["labels"]


def test_one_step_learns_both_labels_row_by_row():
    """Logits (0, 0, 0): each gradient of CE is (1/3 - onehot) x, halved by the mean over rows."""
    model = nn.Linear(2, 3, bias=False)
    nn.init.zeros_(model.weight)
    forget = ForgetTarget(
        TensorRows(torch.tensor([[1.0, 0.0]]), torch.tensor([0])),
        "class",
        (0,),
        TensorRows(torch.tensor([[0.0, 1.0]]), torch.tensor([1])),
    )
    mask = torch.ones(3, 2, dtype=torch.bool)
    mask[0, 1] = False
    found = Instructions({"labels": torch.tensor([2]), "mask.weight": mask}, {"rows": 1})
    edit = SalUn(learning_rate=0.1, weight_decay=0.0, epochs=1).edit(
        model, forget, found, Context()
    )
    third = 0.1 / 2 / 3
    expected = torch.tensor([[-third, 0.0], [-third, 2 * third], [2 * third, -third]])
    torch.testing.assert_close(edit.model.weight, expected)
    assert edit.curves["random"] == pytest.approx([math.log(3) / 2])
    assert edit.curves["retained"] == pytest.approx([math.log(3) / 2])


def test_masks_of_another_network_are_refused(digits):
    forget = target(digits)
    found = SalUn().probe(digits.model, forget, Context())
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    bare = Instructions({"labels": found.tensors["labels"]}, found.facts)
    for model, instructions in ((other, found), (digits.model, bare)):
        with pytest.raises(MethodError, match="Run the probe again"):
            SalUn().edit(model, forget, instructions, Context())
