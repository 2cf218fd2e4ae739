"""Kronecker factors against gradients that autograd takes row by row."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from lethe.data.curvature import Factors, kronecker_factors, penalty, weight_matrix
from lethe.data.rows import TensorRows
from lethe.errors import ModelError

CPU = torch.device("cpu")


def made(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rows_of(x, classes=3):
    return TensorRows(x, torch.arange(len(x)) % classes)


def initialised(model):
    with torch.no_grad():
        for at, weight in enumerate(model.parameters()):
            weight.copy_(made(at, *weight.shape))
    return model


def along(model, x, label, change):
    """The square of the loss's derivative along the change: a row's exact Fisher form."""
    loss = F.cross_entropy(model(x[None]), torch.tensor([label]))
    weights = [model.weight, model.bias] if model.bias is not None else [model.weight]
    gradients = torch.autograd.grad(loss, weights)
    flat = torch.cat([g.flatten(1) if g.dim() > 1 else g[:, None] for g in gradients], 1)
    return float((flat * change).sum() ** 2)


@pytest.mark.parametrize("bias", [True, False])
def test_for_one_linear_layer_and_one_row_the_form_is_exact(bias):
    layer = initialised(nn.Linear(4, 3, bias=bias))
    x, change = made(7, 4), made(8, 3, 4 + bias)
    found = kronecker_factors(nn.Sequential(layer), rows_of(x[None]), device=CPU)
    form = float(penalty(found.layers, {"0": change}))
    assert found.rows == 1
    # The label was drawn from the model: the form is that of one of the three.
    assert any(form == pytest.approx(along(layer, x, y, change), rel=1e-4) for y in range(3))


def test_over_many_draws_of_one_row_the_form_is_the_expectation_over_the_model_s_labels():
    layer, x, change = initialised(nn.Linear(4, 3)), made(7, 4), made(8, 3, 5)
    found = kronecker_factors(
        nn.Sequential(layer), rows_of(x.expand(20_000, 4)), device=CPU, seed=3
    )
    chances = layer(x).softmax(0).tolist()
    exact = sum(p * along(layer, x, y, change) for y, p in enumerate(chances))
    assert float(penalty(found.layers, {"0": change})) == pytest.approx(exact, rel=0.05)
    labelled = along(layer, x, 0, change)  # the empirical Fisher information is something else
    assert exact != pytest.approx(labelled, rel=0.2)


def test_with_a_temperature_the_form_is_about_the_softened_answers():
    layer, x, change = initialised(nn.Linear(4, 3)), made(7, 4), made(8, 3, 5)
    softened = initialised(nn.Linear(4, 3))
    with torch.no_grad():
        softened.weight.copy_(layer.weight / 3)
        softened.bias.copy_(layer.bias / 3)
    found = kronecker_factors(
        nn.Sequential(layer), rows_of(x.expand(20_000, 4)), device=CPU, seed=3, temperature=3.0
    )
    chances = softened(x).softmax(0).tolist()
    # A change of the layer is a third of it in the softened one.
    exact = sum(p * along(softened, x, y, change / 3) for y, p in enumerate(chances))
    assert float(penalty(found.layers, {"0": change})) == pytest.approx(exact, rel=0.05)


def test_a_temperature_lets_rows_count_that_the_model_is_sure_of():
    layer, x = initialised(nn.Linear(4, 3)), made(7, 50, 4)
    with torch.no_grad():
        layer.bias.add_(torch.tensor([30.0, 0.0, 0.0]))

    def weight(temperature):
        found = kronecker_factors(
            nn.Sequential(layer), rows_of(x), device=CPU, temperature=temperature
        )
        return float(found.layers["0"].outputs.trace())

    assert weight(1.0) < 1e-6 < weight(10.0)


def test_factors_of_two_layers_are_the_means_of_outer_products():
    model = initialised(nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)))
    x = made(1, 30, 4)
    found = kronecker_factors(model, rows_of(x), device=CPU, seed=1)
    ones = torch.ones(30, 1)
    first = torch.cat((x, ones), 1)
    hidden = torch.cat((model[1](model[0](x)).detach(), ones), 1)
    for name, inputs in (("0", first), ("2", hidden)):
        assert torch.allclose(found.layers[name].inputs, inputs.T @ inputs / 30, atol=1e-5)
    outputs = found.layers["2"].outputs
    # The gradient at the logits is softmax less the label: its entries sum to nothing.
    assert torch.allclose(outputs.sum(0), torch.zeros(3), atol=1e-5)
    assert outputs.trace() > 0


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(2, 3, 3, stride=2, padding=1, dilation=2), (2, 9)),
        (nn.Conv1d(2, 3, 4, bias=False), (2, 9)),
        (nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=(1, 0)), (2, 5, 6)),
    ],
)
def test_a_convolution_is_a_linear_layer_on_its_patches(layer, shape):
    """A convolution's output, position by position, is its weight matrix times the patch."""
    from lethe.data.curvature import _patches

    layer, x = initialised(layer), made(2, 4, *shape)
    wanted = layer(x).flatten(2).transpose(1, 2)
    assert torch.allclose(_patches(layer, x) @ weight_matrix(layer).T, wanted, atol=1e-4)


def test_a_convolution_with_one_position_has_the_factors_of_the_same_linear_layer():
    convolution = initialised(nn.Conv1d(2, 3, 4))
    linear = nn.Linear(8, 3)
    with torch.no_grad():
        linear.weight.copy_(convolution.weight.flatten(1))
        linear.bias.copy_(convolution.bias)
    x = made(3, 12, 2, 4)
    one = kronecker_factors(nn.Sequential(convolution, nn.Flatten()), rows_of(x), device=CPU)
    other = kronecker_factors(nn.Sequential(nn.Flatten(), linear), rows_of(x), device=CPU)
    for side in ("inputs", "outputs"):
        first, second = getattr(one.layers["0"], side), getattr(other.layers["1"], side)
        assert torch.allclose(first, second, atol=1e-4)


def test_what_has_no_such_factors_is_left_out():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.again, self.idle, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
            self.wide = nn.Linear(4, 2000)

        def forward(self, x):
            return self.head(self.again(self.again(x))) + self.wide(x)[:, :3]

    found = kronecker_factors(Twice(), rows_of(made(1, 6, 4)), device=CPU)
    assert set(found.layers) == {"head"}
    grouped = nn.Sequential(nn.Conv1d(4, 4, 1, groups=2), nn.Conv1d(4, 3, 3, padding="same"))
    grouped.extend([nn.AdaptiveAvgPool1d(1), nn.Flatten()])
    assert not kronecker_factors(grouped, rows_of(made(1, 6, 4, 5)), device=CPU).layers


def test_the_seed_decides_and_the_model_stays():
    model = initialised(nn.Sequential(nn.Linear(4, 3))).train()
    model[0].weight.requires_grad_(False)
    rows = rows_of(made(1, 50, 4))

    def outputs(seed):
        found = kronecker_factors(model, rows, device=CPU, most_rows=20, seed=seed)
        assert found.rows == 20
        return found.layers["0"].outputs

    assert torch.equal(outputs(1), outputs(1))
    assert not torch.equal(outputs(1), outputs(2))
    assert model.training
    assert not model[0].weight.requires_grad
    with torch.no_grad():
        model[0].bias.fill_(torch.inf)
    with pytest.raises((ModelError, RuntimeError)):
        outputs(1)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(-5, 5))
def test_the_penalty_is_never_negative_and_grows_with_the_square(seed, scale):
    a, g, change = made(seed, 5, 4), made(seed + 1, 6, 3), made(seed + 2, 3, 4)
    layers = {"x": Factors(a.T @ a, g.T @ g)}
    form = float(penalty(layers, {"x": change}))
    assert form >= 0
    assert float(penalty(layers, {"x": 0 * change})) == 0
    expected = form * scale**2
    assert float(penalty(layers, {"x": scale * change})) == pytest.approx(
        expected, rel=1e-3, abs=1e-3
    )
    whole = torch.kron(g.T @ g, a.T @ a)  # row-major: the block that the factors stand for
    flat = change.flatten()
    assert form == pytest.approx(float(flat @ whole @ flat), rel=1e-3, abs=1e-3)
