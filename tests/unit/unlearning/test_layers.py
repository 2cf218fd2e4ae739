"""Layers are counted from the output in the order in which they run."""

import torch
from torch import nn

from lethe.models.networks import digits_cnn
from lethe.unlearning.layers import unfreeze_last


class Backwards(nn.Module):
    """Registers its layers in the reverse of the order in which they run."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.body = nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.body(x))


def free(model: nn.Module) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_the_last_share_of_the_layers_is_free():
    model = digits_cnn()
    assert unfreeze_last(model, torch.zeros(1, 1, 8, 8), 0.3) == ["feature", "head"]
    assert free(model) == {"feature.weight", "feature.bias", "head.weight", "head.bias"}


def test_the_order_is_that_of_the_computation():
    model = Backwards()
    assert unfreeze_last(model, torch.zeros(1, 4), 0.5) == ["head"]


def test_at_least_one_layer_and_at_most_all():
    model = digits_cnn()
    assert unfreeze_last(model, torch.zeros(1, 1, 8, 8), 1e-9) == ["head"]
    model = digits_cnn()
    unfreeze_last(model, torch.zeros(1, 1, 8, 8), 1.0)
    assert free(model) == {name for name, _ in model.named_parameters()}


def test_what_the_owner_froze_stays_frozen():
    model = digits_cnn()
    model.feature.requires_grad_(requires_grad=False)
    unfreeze_last(model, torch.zeros(1, 1, 8, 8), 0.3)
    assert free(model) == {"head.weight", "head.bias"}


def test_a_model_frozen_for_serving_is_edited_all_the_same():
    model = digits_cnn().requires_grad_(requires_grad=False)
    unfreeze_last(model, torch.zeros(1, 1, 8, 8), 0.3)
    assert free(model) == {"feature.weight", "feature.bias", "head.weight", "head.bias"}


def test_parts_used_without_a_call_belong_to_the_module_around_them():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(3, 4)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            x = self.embed(x)
            return self.head(self.attention(x, x, x)[0].mean(1))

    model = Attending()
    assert unfreeze_last(model, torch.zeros(1, 5, 3), 0.6) == ["attention", "head"]
    assert "attention.out_proj.weight" in free(model)
    assert "embed.weight" not in free(model)
