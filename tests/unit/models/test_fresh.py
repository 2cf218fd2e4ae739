"""A fresh network has the form of a trained one and none of its weights."""

import torch
from torch import nn

from lethe.models.architecture import Architecture
from lethe.models.fresh import fresh_network

ALLOWED = ("lethe.models.networks",)
DIGITS = Architecture(factory="lethe.models.networks:digits_cnn", kwargs={})


def same(one, other):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return [torch.equal(a, b) for a, b in pairs]


def test_it_is_built_anew_by_its_factory_and_depends_on_the_seed_alone():
    trained = nn.Linear(1, 1)
    state = torch.get_rng_state()
    made = [fresh_network(trained, DIGITS, allowed=ALLOWED, seed=s) for s in (0, 0, 1)]
    assert all(same(made[0], made[1]))
    assert not all(same(made[0], made[2]))
    assert torch.equal(state, torch.get_rng_state())
    assert not made[0].training


def test_without_a_factory_every_module_draws_its_weights_anew():
    trained = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    nn.init.constant_(trained[1].weight, 5)
    trained[1].running_mean += 3
    fresh = fresh_network(trained, None, allowed=(), seed=0)
    assert not any(same(trained, fresh)[:2])
    assert torch.equal(fresh[1].weight, torch.ones(4))
    assert torch.equal(fresh[1].running_mean, torch.zeros(4))
    assert float(trained[1].running_mean[0]) == 3


def test_weights_that_cannot_be_drawn_anew_give_no_reference():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

    assert fresh_network(nn.Sequential(Own()), None, allowed=(), seed=0) is None
