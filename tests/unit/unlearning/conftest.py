"""A digits network trained once, and what a test asks of it."""

from typing import NamedTuple

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from lethe.data.rows import TensorRows
from lethe.models.training import TrainingSettings, new_network, train


class Trained(NamedTuple):
    """A network with its training and held-out rows."""

    model: nn.Module
    rows: TensorRows
    held_out: TensorRows

    def of_class(self, *labels: int) -> TensorRows:
        chosen = torch.isin(self.rows.y, torch.tensor(labels))
        return TensorRows(self.rows.x[chosen], self.rows.y[chosen])

    def accuracy(self, model: nn.Module, *labels: int) -> float:
        """Share of held-out rows of these classes that the model gets right."""
        chosen = torch.isin(self.held_out.y, torch.tensor(labels))
        with torch.no_grad():
            predicted = model(self.held_out.x[chosen]).argmax(1)
        return (predicted == self.held_out.y[chosen]).float().mean().item()


@pytest.fixture(scope="session")
def digits() -> Trained:
    found = load_digits()
    x = torch.tensor(found.images / 16, dtype=torch.float32)[:, None]
    y = torch.tensor(found.target)
    held_out = torch.arange(len(y)) % 10 >= 7
    rows = TensorRows(x[~held_out], y[~held_out])
    settings = TrainingSettings(network="lethe.models.networks:digits_cnn", epochs=5)
    trained = train(new_network(settings), rows, settings)
    return Trained(trained.model, rows, TensorRows(x[held_out], y[held_out]))
