"""Weights and their digest."""

import hashlib

import pytest
import torch
from torch import nn

from lethe.errors import ModelError
from lethe.models.weights import load_weights, save_weights


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_weights_and_buffers_come_back_and_the_digest_is_the_files(tmp_path):
    one, other = network(0), network(1)
    one(torch.randn(8, 4))  # moves BatchNorm's running statistics
    digest = save_weights(one, tmp_path / "w")
    assert digest == hashlib.sha256((tmp_path / "w").read_bytes()).hexdigest()
    load_weights(other, tmp_path / "w", expected=digest)
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_equal_weights_have_equal_digests(tmp_path):
    assert save_weights(network(0), tmp_path / "a") == save_weights(network(0), tmp_path / "b")
    assert save_weights(network(0), tmp_path / "a") != save_weights(network(1), tmp_path / "b")


def test_tied_weights_are_saved_once_and_stay_tied(tmp_path):
    def tied():
        module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        module[1].weight = module[0].weight
        return module

    one, other = tied(), tied()
    load_weights(other, tmp_path / "w", expected=save_weights(one, tmp_path / "w"))
    assert other[0].weight is other[1].weight
    assert torch.equal(one[1].weight, other[1].weight)


def test_every_changed_byte_is_noticed(tmp_path):
    digest = save_weights(network(), tmp_path / "w")
    content = (tmp_path / "w").read_bytes()
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 1
        (tmp_path / "w").write_bytes(changed)
        with pytest.raises(ModelError, match="do not match"):
            load_weights(network(), tmp_path / "w", expected=digest)


def test_weights_of_another_shape_are_refused(tmp_path):
    digest = save_weights(network(), tmp_path / "w")
    with pytest.raises(ModelError, match="do not fit"):
        load_weights(nn.Linear(2, 2), tmp_path / "w", expected=digest)
