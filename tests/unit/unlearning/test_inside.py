"""PTE's feature term moves what the head sees of forget rows, and holds the anchors in place."""

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.unlearning.inside import Inside, aim
from lethe.unlearning.layers import output_layer, with_features
from lethe.unlearning.method import Context, ForgetTarget
from lethe.unlearning.pte import PTE
from lethe.unlearning.push_pull import Reference

GONE = 2


def anchors(x, labels):
    return Reference(x, torch.zeros(len(x), 3), torch.tensor(labels), torch.zeros(len(x), 0))


@pytest.fixture
def network():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 3))
    nn.init.eye_(model[0].weight)
    return model.eval()


def test_targets_are_means_of_the_anchors_features_by_hand(network):
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 4.0]])
    mask = torch.tensor([False, False, True])
    inside, features = aim(network, anchors(x, [0, 0, 1]), mask, aim="redirect", weight=1)
    assert torch.equal(features, x)
    assert inside.targets[0].tolist() == [1.0, 0.0]
    assert inside.targets[1].tolist() == [4.0, 4.0]
    assert inside.targets[2].tolist() == [2.0, pytest.approx(4 / 3)]  # without anchors: the centre
    assert inside.variance == pytest.approx(float((x - x.mean(0)).square().sum(1).mean()))
    contract, _ = aim(network, anchors(x, [0, 0, 1]), mask, aim="contract", weight=1)
    assert torch.allclose(contract.targets, x.mean(0).expand(3, 2))


def test_the_loss_is_what_is_left_to_go_and_what_was_moved_by_mistake():
    inside = Inside("1", torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 2.0, 1.0)
    clean, held = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])
    none = torch.zeros(0, 2)
    assert float(inside.loss((clean, none, held), torch.tensor([0]), held)) == 2.0
    assert float(inside.loss((clean, none, held + 2), torch.tensor([0]), held)) == 6.0


def test_without_anchors_or_without_a_linear_head_it_is_refused(network):
    mask = torch.tensor([False, False, True])
    with pytest.raises(MethodError, match="anchors_per_class"):
        aim(network, anchors(torch.zeros(0, 2), []), mask, aim="redirect", weight=1)
    with pytest.raises(MethodError, match="no scale"):
        aim(network, anchors(torch.ones(3, 2), [0, 0, 1]), mask, aim="redirect", weight=1)


@pytest.mark.parametrize("how", ["redirect", "contract"])
def test_features_of_forget_rows_move_further_than_without_it(how):
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(3, 6, generator=generator)
    y = torch.arange(3).repeat_interleave(40)
    x = centres[y] + 0.3 * torch.randn(120, 6, generator=generator)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.eval()
    target = ForgetTarget(TensorRows(x[y == GONE], y[y == GONE]), "class", (GONE,))

    def spread(method):
        """How far forget rows lie from the nearest mean of a retained class."""
        found = method.probe(model, target, Context())
        edited = method.edit(model, target, found, Context()).model
        layer = edited.get_submodule(output_layer(edited, x[:2]))
        with torch.no_grad():
            features, logits = with_features(edited, layer, x)
        means = torch.stack([features[y == c].mean(0) for c in (0, 1)])
        right = (logits.argmax(1) == y)[y != GONE].float().mean()
        return float(torch.cdist(features[y == GONE], means).min(1).values.mean()), float(right)

    plain, moved = (
        spread(PTE(edited_share=1.0, inside=one, inside_weight=10.0, repair_epochs=60))
        for one in ("none", how)
    )
    assert moved[0] < 0.95 * plain[0]
    assert moved[1] > 0.9
