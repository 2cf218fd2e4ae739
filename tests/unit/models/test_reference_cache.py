"""A retrained reference is trained once, and only the very same one is reused."""

import torch
from torch import nn

from lethe.models.reference_cache import kept_or_made, reference_key
from lethe.models.training import TrainedNetwork, TrainingSettings

SETTINGS = TrainingSettings(network="lethe.models.networks:digits_cnn")
FACTS = {"seed": 0, "dvc_md5": "a" * 32, "left_out": "b" * 64, "classes": ("0", "1")}


def network(value=0.0):
    one = nn.Linear(2, 2)
    nn.init.constant_(one.weight, value)
    return one


class Maker:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return TrainedNetwork(network(self.calls), {"loss": [1.0, 0.5]}, 12.5)


def test_the_second_time_nothing_is_trained_and_the_same_weights_come_back(tmp_path):
    make = Maker()
    first = kept_or_made(tmp_path / "kept", "k", network(), make)
    again = kept_or_made(tmp_path / "kept", "k", network(), make)
    assert (make.calls, first.kept, again.kept) == (1, False, True)
    assert torch.equal(first.model.weight, again.model.weight)
    assert (again.curves, again.seconds) == ({"loss": [1.0, 0.5]}, 12.5)
    assert not again.model.training
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["k.safetensors"]


def test_a_file_that_is_broken_or_of_another_network_is_made_anew(tmp_path):
    make = Maker()
    kept_or_made(tmp_path, "k", network(), make)
    (tmp_path / "k.safetensors").write_bytes(b"cut short")
    assert not kept_or_made(tmp_path, "k", network(), make).kept
    assert not kept_or_made(tmp_path, "k", nn.Linear(3, 2), make).kept
    assert make.calls == 3


def test_whatever_decides_a_reference_decides_its_key():
    keys = {reference_key(SETTINGS, **FACTS)}
    for name, value in {
        "seed": 1, "dvc_md5": "c" * 32, "left_out": "c" * 64, "classes": ("1", "0")
    }.items():  # fmt: skip
        keys.add(reference_key(SETTINGS, **(FACTS | {name: value})))
    keys.add(reference_key(SETTINGS.model_copy(update={"epochs": 3}), **FACTS))
    assert len(keys) == 6
    assert reference_key(SETTINGS, **FACTS) in keys


def test_networks_made_for_the_card_do_not_make_another_reference():
    folds = SETTINGS.model_copy(update={"unseen_folds": 5})
    assert reference_key(folds, **FACTS) == reference_key(SETTINGS, **FACTS)
