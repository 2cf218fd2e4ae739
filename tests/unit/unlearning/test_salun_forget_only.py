"""SalUn changes the salient weights and, momentum or not, no other."""

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.salun_forget_only import SalUnForgetOnly, hold_unmarked, salient


def test_the_mask_marks_the_largest_over_all_tensors():
    saliency = {"a": torch.tensor([[5.0, 1.0]]), "b": torch.tensor([4.0, 3.0, 0.0, 2.0])}
    masks = salient(saliency, 0.5)
    assert masks["a"].tolist() == [[True, False]]
    assert masks["b"].tolist() == [True, True, False, False]


def test_the_saliency_is_the_gradient_of_the_mean_loss():
    """Inputs (1, 0) and (0, 0.5): the columns of the weight have gradients 1 to 0.5."""
    model = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(model.weight)
    rows = TensorRows(torch.tensor([[1.0, 0.0], [0.0, 0.5]]), torch.tensor([0, 0]))
    found = SalUnForgetOnly().probe(model, ForgetTarget(rows, "class", (0,)), Context())
    assert found.tensors["mask.weight"].tolist() == [[True, False], [True, False]]
    assert found.facts["salient"] == 2


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_weights_outside_the_mask_stay_exactly(digits, optimizer):
    rate = 1e-3 if optimizer == "adam" else 0.05
    method = SalUnForgetOnly(
        salient_share=0.2, epochs=5, least_steps=1, optimizer=optimizer, learning_rate=rate
    )
    forget = ForgetTarget(digits.of_class(3), "class", (3,))
    found = method.probe(digits.model, forget, Context())
    edited = method.edit(digits.model, forget, found, Context()).model
    weights = dict(digits.model.named_parameters())
    marked = sum(int(found.tensors[f"mask.{name}"].sum()) for name in weights)
    assert marked == found.facts["salient"] == round(0.2 * sum(w.numel() for w in weights.values()))
    for name, weight in edited.named_parameters():
        mask = found.tensors[f"mask.{name}"]
        assert torch.equal(weight[~mask], weights[name][~mask])
        changed = weight[mask] != weights[name][mask]
        assert not mask.any() or changed.any()


def test_momentum_of_the_others_is_emptied():
    model = nn.Linear(2, 1, bias=False)
    kept = {"weight": model.weight.detach().clone()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    masks = {"weight": torch.tensor([[True, False]])}
    hold_unmarked(model, optimizer, masks, kept)
    assert optimizer.state[model.weight]["momentum_buffer"].tolist() == [[1.0, 0.0]]
    assert model.weight[0, 1] == kept["weight"][0, 1]
    assert model.weight[0, 0] != kept["weight"][0, 0]


def test_masks_of_another_network_are_refused(digits):
    forget = ForgetTarget(digits.of_class(3), "class", (3,))
    found = SalUnForgetOnly().probe(digits.model, forget, Context())
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(MethodError, match="Run the probe again"):
        SalUnForgetOnly().edit(other, forget, found, Context())
