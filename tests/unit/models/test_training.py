"""Training learns, repeats itself for a seed, and refuses what it cannot do."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import DataError, ModelError
from lethe.models.training import TrainingSettings, new_network, recipe_of, train

SETTINGS = TrainingSettings(network="lethe.models.networks:digits_cnn", epochs=3)


@pytest.fixture(scope="module")
def rows() -> TensorRows:
    found = load_digits()
    x = torch.tensor(found.images / 16, dtype=torch.float32)[:, None]
    return TensorRows(x, torch.tensor(found.target))


def test_it_learns_and_returns_a_copy_in_eval_mode(rows):
    network = new_network(SETTINGS)
    before = network.head.weight.clone()
    heard = []
    trained = train(network, rows, SETTINGS, progress=lambda *done: heard.append(done))
    assert trained.curves["accuracy"][-1] > 0.95 > trained.curves["accuracy"][0]
    assert trained.curves["loss"][0] > trained.curves["loss"][-1]
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert trained.seconds > 0
    assert torch.equal(network.head.weight, before)
    assert not trained.model.training


def test_the_seed_decides_and_nothing_else(rows):
    few = TensorRows(rows.x[:200], rows.y[:200])

    def weights(seed, noise):
        torch.manual_seed(noise)
        return train(new_network(SETTINGS, seed=seed), few, SETTINGS, seed=seed).model.head.weight

    assert torch.equal(weights(1, noise=1), weights(1, noise=2))
    assert not torch.equal(weights(1, noise=1), weights(2, noise=1))


def test_the_global_generator_is_left_alone(rows):
    few = TensorRows(rows.x[:64], rows.y[:64])
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(new_network(SETTINGS), few, SETTINGS)
    assert torch.equal(torch.rand(3), expected)


def test_rows_with_an_unknown_label_are_skipped(rows):
    y = torch.where(rows.y == 4, -1, rows.y)
    trained = train(new_network(SETTINGS), TensorRows(rows.x, y), SETTINGS)
    with torch.no_grad():
        assert not (trained.model(rows.x[rows.y == 4]).argmax(1) == 4).any()
        known = rows.y != 4
        right = trained.model(rows.x[known]).argmax(1) == rows.y[known]
    assert right.float().mean() > 0.95


def test_a_last_batch_of_one_row_does_no_harm(rows):
    few = TensorRows(rows.x[:33], rows.y[:33])
    assert train(new_network(SETTINGS), few, SETTINGS).model(rows.x[:1]).isfinite().all()


def test_nothing_to_learn_from_is_refused(rows):
    with pytest.raises(DataError, match="cannot be trained on 1 rows"):
        train(new_network(SETTINGS), TensorRows(rows.x[:1], rows.y[:1]), SETTINGS)
    unknown = TensorRows(rows.x[:9], torch.full((9,), -1))
    with pytest.raises(DataError, match="known label"):
        train(new_network(SETTINGS), unknown, SETTINGS)


def test_divergence_is_an_error(rows):
    x = rows.x.clone()
    x[7] = float("nan")
    with pytest.raises(ModelError, match="diverged"):
        train(new_network(SETTINGS), TensorRows(x, rows.y), SETTINGS)


def test_a_network_outside_the_allowed_modules_is_refused():
    settings = TrainingSettings(network="torch.nn:Identity")
    with pytest.raises(ModelError, match="not among"):
        new_network(settings)
    assert isinstance(new_network(settings, allowed=("torch.nn",)), nn.Identity)


def test_a_recipe_without_folds_is_recorded_as_before_there_were_any():
    """So keys of versions that were trained then are found."""
    assert "unseen_folds" not in SETTINGS.model_dump(mode="json")
    with_folds = SETTINGS.model_copy(update={"unseen_folds": 5})
    assert with_folds.model_dump(mode="json")["unseen_folds"] == 5
    assert recipe_of(with_folds.model_dump(mode="json")) == with_folds
    assert recipe_of(SETTINGS.model_dump(mode="json")) == SETTINGS
    assert recipe_of(None) is None
