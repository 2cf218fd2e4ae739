"""Methods are found by name, and what a probe found survives its file."""

import pytest
import torch

from lethe.errors import MethodError
from lethe.unlearning.method import Instructions, check_can_forget, load_method, method_names
from lethe.unlearning.pte import PTE


def test_pte_is_installed_under_its_name():
    assert "pte" in method_names()
    assert load_method("pte", {"epochs": 5}) == PTE(epochs=5)


def test_an_unknown_method_names_the_known_ones():
    with pytest.raises(MethodError, match=r"no unlearning method 'magic'.*pte"):
        load_method("magic")


def test_a_selection_that_the_method_cannot_forget_is_refused():
    check_can_forget(PTE(), "class")
    with pytest.raises(MethodError, match="selects by subject"):
        check_can_forget(PTE(), "subject")


def test_instructions_survive_their_file(tmp_path):
    found = Instructions(
        {"labels": torch.arange(3), "logits": torch.randn(4, 2).T}, {"landed": [1, 2], "scale": 0.5}
    )
    found.save(tmp_path / "file")
    read = Instructions.load(tmp_path / "file")
    assert read.facts == found.facts
    assert read.tensors.keys() == found.tensors.keys()
    assert all(torch.equal(read.tensors[name], found.tensors[name]) for name in found.tensors)
