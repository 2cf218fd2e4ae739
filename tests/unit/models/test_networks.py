"""Networks map the data sets' own shapes and units to logits."""

from functools import partial

import pytest
import torch

from lethe.models.networks import (
    cifar_cnn,
    digits_cnn,
    fashion_cnn,
    resnet18_cifar,
    watch_cnn,
    wdcnn,
)
from lethe.models.resnet import ResidualBlock


@pytest.mark.parametrize(
    ("factory", "shape", "classes"),
    [
        (digits_cnn, (1, 8, 8), 10),
        (wdcnn, (1, 1024), 4),
        (watch_cnn, (6, 100), 7),
        (fashion_cnn, (1, 28, 28), 10),
        (cifar_cnn, (3, 32, 32), 10),
        (partial(resnet18_cifar, width=8), (3, 32, 32), 10),
    ],
)
def test_inputs_become_logits_and_every_weight_learns(factory, shape, classes):
    model = factory(classes=classes)
    logits = model(torch.randn(3, *shape))
    assert logits.shape == (3, classes)
    torch.nn.functional.cross_entropy(logits, torch.arange(3)).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


@pytest.mark.parametrize(
    ("factory", "shape"),
    [
        (wdcnn, (1, 1024)),
        (watch_cnn, (6, 100)),
        (fashion_cnn, (1, 28, 28)),
        (cifar_cnn, (3, 32, 32)),
        (partial(resnet18_cifar, width=4), (3, 32, 32)),
    ],
)
def test_the_physical_unit_does_not_matter(factory, shape):
    torch.manual_seed(0)
    model = factory().train()
    x = torch.randn(16, *shape)
    torch.testing.assert_close(model(x), model(9.81 * x), atol=1e-3, rtol=1e-3)


def test_the_window_of_the_vibration_network_can_be_chosen():
    assert wdcnn(classes=5, length=2048)(torch.randn(2, 1, 2048)).shape == (2, 5)


def test_resnet18_has_eighteen_weighted_layers_and_the_published_size():
    model = resnet18_cifar()
    weighted = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    projections = [m for m in weighted if getattr(m, "kernel_size", None) == (1, 1)]
    assert (len(weighted) - len(projections), len(projections)) == (18, 3)
    # 11,173,962 parameters: He et al.'s ResNet-18 with a 3x3 first convolution and ten classes.
    assert sum(weight.numel() for weight in model.parameters()) == 11_173_962


def test_a_residual_block_passes_its_input_on():
    block = ResidualBlock(4, 4, 1).eval()
    torch.nn.init.zeros_(block.body[3].weight)
    x = torch.rand(2, 4, 5, 5)
    torch.testing.assert_close(block(x), x)
