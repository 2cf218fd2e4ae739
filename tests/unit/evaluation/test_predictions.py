import pytest
import torch
from known_answers import CPU, Table, rows
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import ModelError
from lethe.evaluation.predictions import MAX_FEATURE_ROWS, predict


class TwoHeads(nn.Module):
    """Executes `last` after `first`, though it is registered before it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(2, 3)
        self.first = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))


def random_rows(count: int) -> TensorRows:
    return TensorRows(torch.randn(count, 4), torch.zeros(count, dtype=torch.int64))


def test_rows_come_back_in_stored_order_whatever_the_batch_size():
    logits = torch.randn(7, 3)
    given = rows([6, 0, 3, 5, 1, 2, 4], [0, 1, 2, 0, 1, 2, 0])
    for size in (1, 2, 512):
        outputs = predict(Table(logits), given, device=CPU, batch_size=size)
        torch.testing.assert_close(outputs.logits, logits[[6, 0, 3, 5, 1, 2, 4]])
        assert outputs.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
        assert outputs.features is None


def test_each_module_keeps_its_own_mode_and_statistics():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)).train()
    model[0].eval()
    before = model[0].running_mean.clone()
    outputs = [predict(model, random_rows(9), device=CPU).logits for _ in range(1)]
    assert [model.training, model[0].training, model[1].training] == [True, False, True]
    torch.testing.assert_close(model[0].running_mean, before)
    assert not outputs[0].requires_grad


def test_dropout_is_off():
    model = nn.Sequential(nn.Dropout(0.9), nn.Linear(4, 3)).train()
    given = random_rows(9)
    first, second = (predict(model, given, device=CPU).logits for _ in range(2))
    torch.testing.assert_close(first, second)


def test_modes_come_back_after_a_failure():
    model = nn.Linear(5, 3).train()
    with pytest.raises(RuntimeError):
        predict(model, random_rows(2), device=CPU)
    assert model.training


def test_features_are_the_input_of_the_linear_layer_executed_last():
    model, given = TwoHeads(), random_rows(6)
    outputs = predict(model, given, device=CPU, batch_size=4, with_features=True)
    torch.testing.assert_close(outputs.features, torch.relu(model.first(given.x)).detach())
    assert outputs.feature_rows.tolist() == list(range(6))
    assert not model.last._forward_pre_hooks
    assert not model.first._forward_pre_hooks


def test_features_of_many_rows_are_a_fixed_choice_of_them():
    model, given = TwoHeads(), random_rows(MAX_FEATURE_ROWS + 500)
    one, two = (
        predict(model, given, device=CPU, batch_size=size, with_features=True)
        for size in (512, 333)
    )
    assert one.features.shape == (MAX_FEATURE_ROWS, 2)
    torch.testing.assert_close(one.features, two.features)
    torch.testing.assert_close(
        one.features, torch.relu(model.first(given.x[one.feature_rows])).detach()
    )
    other = predict(model, given, device=CPU, with_features=True, seed=1)
    assert not torch.equal(one.feature_rows, other.feature_rows)


def test_a_network_without_linear_layers_has_no_features():
    model = nn.Sequential(nn.Unflatten(1, (4, 1)), nn.Conv1d(4, 3, 1), nn.Flatten())
    assert predict(model, random_rows(3), device=CPU, with_features=True).features is None


def test_progress_counts_rows():
    heard = []
    predict(
        TwoHeads(),
        random_rows(5),
        device=CPU,
        batch_size=2,
        progress=lambda done, total: heard.append((done, total)),
    )
    assert heard == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(
    "model",
    [nn.Flatten(0), nn.Unflatten(1, (2, 2)), nn.LSTM(4, 3)],
    ids=["one vector for all", "a matrix per row", "a tuple"],
)
def test_outputs_that_are_no_logits_are_refused(model):
    with pytest.raises(ModelError, match="one vector of logits per row"):
        predict(model, random_rows(3), device=CPU)


def test_no_rows_is_an_error():
    with pytest.raises(ModelError, match="no rows"):
        predict(TwoHeads(), random_rows(0), device=CPU)
