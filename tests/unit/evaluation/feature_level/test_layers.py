import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import ModelError
from lethe.evaluation.feature_level.layers import (
    FEATURES,
    MAX_WIDTH,
    capture,
    head_of,
    pick_layers,
)
from lethe.evaluation.predictions import predict
from lethe.models.networks import digits_cnn, watch_cnn, wdcnn

CPU = torch.device("cpu")


def rows(*shape: int) -> TensorRows:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return TensorRows(x, torch.arange(shape[0]) % 3 - 1)


def deep(count: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(4, 4) for _ in range(count)))


class Backwards(nn.Module):
    """Registers its layers in the reverse of the order in which they run; one never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(3, 3)
        self.head = nn.Linear(4, 2)
        self.body = nn.Linear(4, 4)
        self.first = nn.Linear(4, 4)

    def forward(self, x):
        return self.head(torch.relu(self.body(self.first(x))))


class Sequence(nn.Module):
    """Attention and recurrence over time, with time in front of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)
        self.mixed = nn.Linear(4, 4)
        self.gru = nn.GRU(4, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x):  # (B, T, 4)
        x = x.transpose(0, 1)
        x = self.mixed(self.attention(x, x, x)[0])
        return self.head(self.gru(x)[0][-1])


def test_layers_come_in_running_order_with_features_last():
    assert pick_layers(Backwards(), torch.randn(3, 4)) == ["first", "body", FEATURES]
    assert head_of(Backwards(), torch.randn(3, 4)) == "head"


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (digits_cnn(), (1, 8, 8), ["conv1", "conv2", "feature"]),
        (
            wdcnn(length=1024),
            (1, 1024),
            ["block1.0", "block2.0", "block3.0", "block4.0", "feature"],
        ),
        (watch_cnn(), (6, 50), ["block1.0", "block2.0", "block3.0"]),
    ],
    ids=["digits", "CWRU", "watch"],
)
def test_normalisations_and_the_head_are_no_layers(network, shape, expected):
    assert pick_layers(network.eval(), torch.randn(2, *shape)) == [*expected, FEATURES]


@pytest.mark.parametrize(
    ("most", "expected"),
    [(1, []), (2, ["0"]), (3, ["0", "8"]), (4, ["0", "4", "8"]), (50, list("012345678"))],
)
def test_layers_are_evenly_chosen(most, expected):
    chosen = pick_layers(deep(10), torch.randn(2, 4), most=most)
    assert chosen == [*expected, FEATURES]


def test_a_network_without_layers_has_none():
    assert pick_layers(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4)), torch.randn(3, 4)) == []
    assert head_of(nn.Flatten(), torch.randn(3, 4)) is None


def test_time_in_front_of_the_batch_is_put_behind_it():
    model, given = Sequence().eval(), rows(6, 6, 4)  # as much time as rows
    layers = pick_layers(model, given.x)
    # Nothing says of the plain linear layer that its first dimension is time.
    assert layers == ["attention", "gru", FEATURES]
    seen = capture(model, given, layers, device=CPU)
    alone = capture(model, TensorRows(given.x[2:3], given.y[2:3]), layers, device=CPU)
    for name in layers:
        torch.testing.assert_close(seen.by_layer[name][2:3], alone.by_layer[name])
    assert seen.by_layer["attention"].shape == (6, 24)
    assert seen.by_layer["gru"].shape == (6, 30)


def test_activations_are_the_outputs_of_the_layers_before_any_nonlinearity():
    model, given = Backwards(), rows(7, 4)
    seen = capture(model, given, ["first", "body", FEATURES], device=CPU, batch_size=3)
    first = model.first(given.x)
    body = model.body(first)
    for name, expected in {"first": first, "body": body, FEATURES: body.relu()}.items():
        torch.testing.assert_close(seen.by_layer[name], expected.detach())
        assert seen.by_layer[name].dtype == torch.float32
    assert seen.labels.tolist() == given.y.tolist()
    assert seen.positions.tolist() == list(range(7))


def test_features_are_those_of_the_predictions():
    model, given = digits_cnn(width=4), rows(9, 1, 8, 8)
    expected = predict(model, given, device=CPU, with_features=True).features
    seen = capture(model, given, [FEATURES], device=CPU).by_layer[FEATURES]
    torch.testing.assert_close(seen, expected)


def test_a_nonlinearity_in_place_does_not_reach_what_was_seen():
    model, given = (
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)),
        rows(5, 4),
    )
    seen = capture(model, given, ["0"], device=CPU).by_layer["0"]
    torch.testing.assert_close(seen, model[0](given.x).detach())
    assert (seen < 0).any()


@pytest.mark.parametrize(("side", "width"), [(8, 8 * 64), (40, 8)])
def test_wide_activations_are_averaged_over_space(side, width):
    assert (8 * side * side > MAX_WIDTH) == (width == 8)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )
    given = rows(3, 1, side, side)
    seen = capture(model, given, ["0"], device=CPU).by_layer["0"]
    maps = model[0](given.x).detach()
    torch.testing.assert_close(seen, maps.mean((2, 3)) if width == 8 else maps.flatten(1))


def test_wide_tokens_are_averaged_over_time():
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, 5)
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.body(x).mean(1))

    model, given = Tokens(), rows(2, MAX_WIDTH, 3)
    seen = capture(model, given, ["body"], device=CPU).by_layer["body"]
    torch.testing.assert_close(seen, model.body(given.x).mean(1).detach())


def test_a_network_without_linear_layers_has_the_input_of_its_last_layer():
    model = nn.Sequential(nn.Conv1d(2, 3, 1), nn.ReLU(), nn.Conv1d(3, 2, 4), nn.Flatten())
    given = rows(4, 2, 4)
    assert pick_layers(model, given.x) == ["0", FEATURES]
    seen = capture(model, given, [FEATURES], device=CPU).by_layer[FEATURES]
    torch.testing.assert_close(seen, model[0](given.x).relu().flatten(1).detach())


def test_chosen_rows_are_the_same_for_every_model_and_batch_size():
    given = rows(50, 4)
    one = capture(Backwards(), given, [FEATURES], device=CPU, limit=20, seed=3)
    two = capture(Backwards(), given, [FEATURES], device=CPU, limit=20, seed=3, batch_size=7)
    other = capture(Backwards(), given, [FEATURES], device=CPU, limit=20, seed=4)
    assert one.positions.tolist() == two.positions.tolist() != other.positions.tolist()
    assert len(one.by_layer[FEATURES]) == 20
    torch.testing.assert_close(one.labels, given.y[one.positions])


def test_rows_can_be_named():
    model, given = Backwards(), rows(9, 4)
    seen = capture(model, given, ["first"], device=CPU, positions=torch.tensor([7, 1]))
    assert seen.positions.tolist() == [1, 7]
    torch.testing.assert_close(seen.by_layer["first"], model.first(given.x[[1, 7]]).detach())


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    capture(model, rows(5, 4), pick_layers(model, torch.randn(2, 4)), device=CPU)
    with pytest.raises(RuntimeError):
        capture(model, rows(5, 3), ["0"], device=CPU)
    with pytest.raises(RuntimeError):
        pick_layers(model, torch.zeros(5, 3))
    assert [module.training for module in model] == [True, False, True, True]
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["nowhere", "unused", ""])
def test_a_layer_that_gives_nothing_is_an_error(name):
    with pytest.raises(ModelError, match="no activation per row"):
        capture(Backwards(), rows(3, 4), [name], device=CPU)


def test_no_rows_is_an_error():
    with pytest.raises(ModelError, match="no rows"):
        capture(Backwards(), rows(0, 4), [FEATURES], device=CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_accelerator_gives_the_same_activations():
    model, given = Backwards(), rows(7, 4)
    near = capture(model, given, ["first", FEATURES], device=CPU)
    far = capture(model, given, ["first", FEATURES], device=torch.device("cuda"))
    for name, expected in near.by_layer.items():
        torch.testing.assert_close(far.by_layer[name], expected, atol=1e-3, rtol=1e-3)
    assert next(model.parameters()).device == CPU
