"""A patched network is named, built again, and taken apart."""

import json

import pytest
import torch

from lethe.errors import ModelError
from lethe.models.architecture import Architecture, build
from lethe.models.networks import digits_cnn
from lethe.models.patched import PATCHED, architecture_of
from lethe.models.weights import load_weights, save_weights
from lethe.patching.network import Patched, empty_patch, put_on

NETWORKS = ("lethe.models.networks",)
BASE = Architecture(factory="lethe.models.networks:digits_cnn", kwargs={"classes": 10})


def made():
    torch.manual_seed(0)
    patch = empty_patch(regions=3, units=64, features=512, cells=0, groups=1, classes=10)
    tensors = dict(patch.named_buffers())
    tensors["patterns"] = torch.randint(0, 2, (3, 64), dtype=torch.int8) * 2 - 1
    tensors["barred"] = torch.arange(10)[None] == 3
    tensors["high"] = torch.full((512,), 9.0)
    tensors["bound"] = torch.full((3,), 50.0)
    return put_on(digits_cnn().eval(), tensors)


def test_it_is_built_again_from_json_and_its_weights(tmp_path):
    network = made()
    digest = save_weights(network, tmp_path / "file")
    architecture = architecture_of(network, BASE)
    assert architecture.factory == PATCHED
    read = Architecture.model_validate_json(json.dumps(architecture.model_dump(mode="json")))
    again = build(read, NETWORKS)
    load_weights(again, tmp_path / "file", expected=digest)
    x = torch.rand(20, 1, 8, 8)
    assert torch.equal(again.eval()(x), network(x))
    assert not torch.equal(network(x), network.base(x))


def test_the_architecture_of_its_base_is_found_again():
    network = made()
    named = architecture_of(network, BASE)
    assert architecture_of(network.base, named) == BASE
    assert architecture_of(network, named) == named
    assert architecture_of(network, None) is None


def test_the_base_is_built_by_what_is_allowed_alone():
    named = architecture_of(made(), BASE)
    with pytest.raises(ModelError, match="not among the modules that may be imported"):
        build(named, ("somewhere.else",))


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"base": {"factory": "os:system", "kwargs": {}}, "regions": 1},
        {"base": BASE.model_dump(), "regions": -1},
        {"base": BASE.model_dump(), "regions": "many", "units": 1},
    ],
)
def test_a_patch_that_makes_no_sense_is_refused(kwargs):
    with pytest.raises(ModelError):
        build(Architecture(factory=PATCHED, kwargs=kwargs), NETWORKS)


def test_it_can_be_exported_with_the_batch_size_left_open():
    network = made()
    batch = torch.export.Dim("batch")
    x = torch.rand(4, 1, 8, 8)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: batch},)).module()
    more = torch.rand(9, 1, 8, 8)
    torch.testing.assert_close(exported(more), network(more))
    assert isinstance(network, Patched)
