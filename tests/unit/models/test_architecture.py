"""Building a network by name: only what is allowed, only networks."""

import sys

import pytest
from torch import nn

from lethe.errors import ModelError
from lethe.models.architecture import Architecture, build

OWN = ("lethe.models.networks",)


def test_an_allowed_factory_builds_its_network():
    architecture = Architecture(factory="lethe.models.networks:digits_cnn", kwargs={"classes": 4})
    network = build(architecture, OWN)
    assert isinstance(network, nn.Module)


@pytest.mark.parametrize(
    "factory", ["os:system", "subprocess:run", "lethe.models.networks_evil:f", "lethe.models:f"]
)
def test_nothing_outside_the_list_is_imported(factory):
    with pytest.raises(ModelError, match="may be imported"):
        build(Architecture(factory=factory, kwargs={}), OWN)


def test_the_refused_module_is_not_even_loaded():
    sys.modules.pop("this", None)
    with pytest.raises(ModelError):
        build(Architecture(factory="this:c"), OWN)
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    ("factory", "kwargs", "message"),
    [
        ("lethe.models.networks:absent", {}, "cannot be built"),
        ("lethe.models.networks:digits_cnn", {"colour": 1}, "cannot be built"),
        ("collections:OrderedDict", {}, "not a torch"),
    ],
)
def test_what_is_no_network_is_refused(factory, kwargs, message):
    with pytest.raises(ModelError, match=message):
        build(Architecture(factory=factory, kwargs=kwargs), (*OWN, "collections"))
