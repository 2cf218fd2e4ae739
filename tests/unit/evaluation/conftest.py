import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lethe.data.rows import TensorRows
from lethe.models.networks import digits_cnn

# pytest's importlib mode puts no folder on the path; this folder's tests share known_answers.
sys.path.insert(0, str(Path(__file__).parent))

FORGOTTEN = 3


@pytest.fixture(scope="session")
def digits() -> tuple[TensorRows, TensorRows]:
    """Training and held-out rows of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = torch.tensor(found.images / 16, dtype=torch.float32)[:, None]
    y = torch.tensor(found.target, dtype=torch.int64)
    held_out = torch.arange(len(y)) % 4 == 0
    return TensorRows(x[~held_out], y[~held_out]), TensorRows(x[held_out], y[held_out])


@pytest.fixture(scope="session")
def parent(digits) -> nn.Module:
    """A small network that knows the digits."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = digits_cnn(width=8)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for seed in range(4):
        for batch in digits[0].batches(64, seed=seed):
            optimizer.zero_grad()
            F.cross_entropy(model(batch.x), batch.y).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="session")
def head_only(parent) -> nn.Module:
    """The network with the forgotten class struck out of its last layer: nothing else changed."""
    import copy

    model = copy.deepcopy(parent)
    with torch.no_grad():
        model.head.bias[FORGOTTEN] = -1e4
    return model


def part(rows: TensorRows, *, forgotten: bool) -> TensorRows:
    mask = (rows.y == FORGOTTEN) == forgotten
    return TensorRows(rows.x[mask], rows.y[mask])


@pytest.fixture(scope="session")
def evaluation(digits, parent, head_only):
    """The evaluation of `head_only` on all four parts."""
    from lethe.evaluation.output_level import Part, evaluate

    train, held_out = digits
    return evaluate(
        parent,
        head_only,
        {
            Part.FORGET_TRAIN: part(train, forgotten=True),
            Part.FORGET_HELD_OUT: part(held_out, forgotten=True),
            Part.RETAINED_TRAIN: part(train, forgotten=False),
            Part.RETAINED_HELD_OUT: part(held_out, forgotten=False),
        },
        classes=[str(index) for index in range(10)],
        forgotten=[FORGOTTEN],
        device=torch.device("cpu"),
    )
