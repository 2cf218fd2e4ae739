"""The Fisher information against autograd row by row and against its closed form."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lethe.data.fisher import fisher_diagonal
from lethe.data.rows import TensorRows
from lethe.errors import DataError, ModelError

CPU = torch.device("cpu")


def rows(n=37, features=5, classes=3, seed=0):
    made = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=made)
    return TensorRows(x, torch.randint(classes, (n,), generator=made))


def perceptron():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Dropout(0.5), nn.ReLU(), nn.Linear(7, 3)
    )


class Recurrent(nn.Module):
    """A GRU, which `vmap` cannot take."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.inner = nn.GRU(5, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.inner(x[:, None])[0][:, -1])


def by_autograd(model, data, chosen=None):
    model = model.eval()
    total = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    wanted = range(len(data)) if chosen is None else chosen
    for index in wanted:
        model.zero_grad()
        loss = F.cross_entropy(model(data.x[index : index + 1]), data.y[index : index + 1])
        loss.backward()
        for name, weight in model.named_parameters():
            total[name] += weight.grad**2
    return {name: one / len(wanted) for name, one in total.items()}


def same(found, expected):
    assert found.keys() == expected.keys()
    return all(torch.allclose(found[n], expected[n], rtol=1e-4, atol=1e-7) for n in found)


@pytest.mark.parametrize(("model", "by"), [(perceptron(), "vmap"), (Recurrent(), "loop")])
def test_it_is_the_mean_of_squared_gradients_of_single_rows(model, by):
    data = rows(n=150)  # more than one chunk
    found = fisher_diagonal(model, data, device=CPU)
    assert (found.by, found.rows) == (by, 150)
    assert same(found.diagonal, by_autograd(model, data))


def test_it_is_not_the_squared_gradient_of_the_batch():
    model, data = perceptron().eval(), rows()
    F.cross_entropy(model(data.x), data.y).backward()
    of_batch = {name: weight.grad**2 for name, weight in model.named_parameters()}
    assert not same(fisher_diagonal(model, data, device=CPU).diagonal, of_batch)


def test_logistic_regression_has_a_closed_form():
    """d loss / d W[k, j] is (p_k - [y = k]) x_j, and without x_j for the bias."""
    torch.manual_seed(3)
    model, data = nn.Linear(5, 3), rows()
    residual = torch.softmax(model(data.x), 1) - F.one_hot(data.y, 3)
    weight = (residual[:, :, None] * data.x[:, None, :]).square().mean(0)
    found = fisher_diagonal(model, data, device=CPU).diagonal
    assert torch.allclose(found["weight"], weight, atol=1e-7)
    assert torch.allclose(found["bias"], residual.square().mean(0), atol=1e-7)


def test_rows_with_an_unknown_label_are_skipped():
    data = rows()
    y = data.y.clone()
    y[::2] = -1
    known = TensorRows(data.x[y >= 0], y[y >= 0])
    found = fisher_diagonal(perceptron(), TensorRows(data.x, y), device=CPU)
    assert found.rows == len(known)
    assert same(found.diagonal, by_autograd(perceptron(), known))
    with pytest.raises(DataError, match="No row has a label"):
        fisher_diagonal(perceptron(), TensorRows(data.x, torch.full_like(y, -1)), device=CPU)


def test_a_bounded_sample_is_drawn_by_the_seed():
    model, data = perceptron(), rows()

    def diagonal(seed):
        found = fisher_diagonal(model, data, device=CPU, most_rows=10, seed=seed)
        assert found.rows == 10
        return found.diagonal

    assert same(diagonal(0), diagonal(0))
    assert not same(diagonal(0), diagonal(1))
    drawn = torch.randperm(37, generator=torch.Generator().manual_seed(0))[:10].tolist()
    assert same(diagonal(0), by_autograd(model, data, drawn))


def test_the_model_stays_as_it_is_and_frozen_weights_count():
    model = perceptron().train()
    model[0].weight.requires_grad_(False)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    found = fisher_diagonal(model, rows(), device=CPU)
    assert found.diagonal["0.weight"].sum() > 0
    assert model.training
    assert not model[0].weight.requires_grad
    assert all(torch.equal(model.state_dict()[name], one) for name, one in before.items())


def test_gradients_that_are_not_finite_are_refused():
    model = nn.Linear(5, 3)
    with torch.no_grad():
        model.weight.fill_(torch.inf)
    with pytest.raises(ModelError, match="not finite"):
        fisher_diagonal(model, rows(), device=CPU)
