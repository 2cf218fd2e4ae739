"""Networks map the data sets' own shapes and units to logits."""

import pytest
import torch

from lethe.models.networks import digits_cnn, watch_cnn, wdcnn


@pytest.mark.parametrize(
    ("factory", "shape", "classes"),
    [(digits_cnn, (1, 8, 8), 10), (wdcnn, (1, 1024), 4), (watch_cnn, (6, 100), 7)],
)
def test_inputs_become_logits_and_every_weight_learns(factory, shape, classes):
    model = factory(classes=classes)
    logits = model(torch.randn(3, *shape))
    assert logits.shape == (3, classes)
    torch.nn.functional.cross_entropy(logits, torch.arange(3)).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


@pytest.mark.parametrize(("factory", "shape"), [(wdcnn, (1, 1024)), (watch_cnn, (6, 100))])
def test_the_physical_unit_does_not_matter(factory, shape):
    torch.manual_seed(0)
    model = factory().train()
    x = torch.randn(16, *shape)
    torch.testing.assert_close(model(x), model(9.81 * x), atol=1e-3, rtol=1e-3)


def test_the_window_of_the_vibration_network_can_be_chosen():
    assert wdcnn(classes=5, length=2048)(torch.randn(2, 1, 2048)).shape == (2, 5)
