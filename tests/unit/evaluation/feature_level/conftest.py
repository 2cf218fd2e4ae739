from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lethe.data.rows import TensorRows
from lethe.evaluation.feature_level.layers import Activations, capture, pick_layers
from lethe.models.networks import digits_cnn

FORGOTTEN = 3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Parts:
    """Digits, apart: the forgotten class and the others."""

    train: TensorRows
    held_out: TensorRows

    @property
    def forget(self) -> TensorRows:
        return of(self.train, forgotten=True)

    @property
    def retained(self) -> TensorRows:
        return of(self.train, forgotten=False)

    @property
    def forget_held_out(self) -> TensorRows:
        return of(self.held_out, forgotten=True)

    @property
    def retained_held_out(self) -> TensorRows:
        return of(self.held_out, forgotten=False)


def of(rows: TensorRows, *, forgotten: bool) -> TensorRows:
    mask = (rows.y == FORGOTTEN) == forgotten
    return TensorRows(rows.x[mask], rows.y[mask])


@pytest.fixture(scope="session")
def parts(digits) -> Parts:
    return Parts(*digits)


@pytest.fixture(scope="session")
def networks(parts, parent, head_only) -> dict[str, nn.Module]:
    """The original, its head-only edit, one retrained without the class, and one never trained."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        retrained, fresh = digits_cnn(width=8), digits_cnn(width=8).eval()
    optimizer = torch.optim.Adam(retrained.parameters(), 3e-3)
    for seed in range(4):
        for batch in parts.retained.batches(64, seed=seed):
            optimizer.zero_grad()
            F.cross_entropy(retrained(batch.x), batch.y).backward()
            optimizer.step()
    return {
        "original": parent,
        "head_only": head_only,
        "retrained": retrained.eval(),
        "fresh": fresh,
    }


@pytest.fixture(scope="session")
def captured(parts, networks) -> dict[str, tuple[Activations, Activations]]:
    """What the layers of every network hold for training and held-out rows."""
    found = {}
    for name, network in networks.items():
        layers = pick_layers(network, parts.train.x[:4])
        found[name] = tuple(
            capture(network, rows, layers, device=CPU, limit=2_000)
            for rows in (parts.train, parts.held_out)
        )
    return found
