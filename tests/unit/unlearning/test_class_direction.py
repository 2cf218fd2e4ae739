"""The direction that only the forgotten class has is taken out of the head, and nothing else."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.models.card import About, make_card
from lethe.unlearning.class_direction import ClassDirection, directions, without_directions
from lethe.unlearning.layers import with_features
from lethe.unlearning.method import Context, ForgetTarget, Instructions, load_method

ABOUT = About("a" * 64, "data/x", "b" * 32, "c" * 40)
NAMES = tuple("0123456789")
CPU = torch.device("cpu")


def card_of(model, rows, names=NAMES):
    return make_card(model, rows, None, names, device=CPU, seed=0, about=ABOUT, fisher_rows=0)


@pytest.fixture(scope="module")
def card(digits):
    return card_of(digits.model, digits.rows)


def target(digits, *labels):
    return ForgetTarget(digits.of_class(*labels), "class", labels)


def carry_out(method, model, forget, context):
    return method.edit(model, forget, method.probe(model, forget, context), context)


def test_the_direction_by_hand():
    """Of (1, 1, 2) the plane of (1, 0, 0) and (1, 3, 0) explains (1, 1, 0)."""
    retained = torch.tensor([[1.0, 0.0, 0.0], [1.0, 3.0, 0.0]])
    basis, distinct = directions(torch.tensor([[1.0, 1.0, 2.0]]), retained, 0.05)
    torch.testing.assert_close(basis.abs().float(), torch.tensor([[0.0, 0.0, 1.0]]))
    assert distinct == pytest.approx(2 / 6**0.5)
    weight = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, -6.0]])
    found = without_directions(weight, basis, torch.tensor([True, False]), 1.5)
    torch.testing.assert_close(found, torch.tensor([[1.0, 2.0, -1.5], [4.0, 5.0, 0.0]]))


@given(seed=st.integers(0, 10**6), retained=st.integers(2, 6), gone=st.integers(1, 2))
def test_no_retained_mean_is_answered_differently(seed, retained, gone):
    generator = torch.Generator().manual_seed(seed)
    kept = torch.randn(retained, 12, generator=generator, dtype=torch.float64)
    mine = torch.randn(gone, 12, generator=generator, dtype=torch.float64)
    basis, distinct = directions(mine, kept, 0.01)
    torch.testing.assert_close(basis @ basis.T, torch.eye(gone).double(), atol=1e-9, rtol=0)
    assert 0 < distinct <= 1
    weight = torch.randn(5, 12, generator=generator, dtype=torch.float64)
    found = without_directions(weight, basis, torch.tensor([True, False, True, False, False]), 2.0)
    torch.testing.assert_close(kept @ found.T, kept @ weight.T, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("labels", [(3,), (8,), (2, 7)])
def test_a_class_is_forgotten_at_once_and_the_others_are_kept(digits, card, labels):
    edit = carry_out(ClassDirection(), digits.model, target(digits, *labels), Context(card=card))
    rest = [label for label in range(10) if label not in labels]
    assert edit.stopped.startswith("Forgotten at strength")
    assert digits.accuracy(digits.model, *labels) > 0.9
    assert digits.accuracy(edit.model, *labels) < 0.1
    assert digits.accuracy(edit.model, *rest) > digits.accuracy(digits.model, *rest) - 0.05
    changed = [
        name
        for name, weight in edit.model.named_parameters()
        if not torch.equal(weight, digits.model.get_parameter(name))
    ]
    assert changed == ["head.weight"]


def test_the_logits_at_the_stored_means_stay(digits, card):
    edit = carry_out(ClassDirection(), digits.model, target(digits, 3), Context(card=card))
    means, _ = card.known_means()
    before, after = digits.model.head(means), edit.model.head(means)
    kept = [label for label in range(10) if label != 3]
    torch.testing.assert_close(after[kept], before[kept], atol=1e-3, rtol=1e-3)
    assert after[3, 3] < before[3, 3] - 1  # a negative control: there it does not


def test_the_strength_grows_until_it_is_forgotten_and_no_further(digits, card):
    edit = carry_out(ClassDirection(), digits.model, target(digits, 3), Context(card=card))
    strengths, shares = edit.curves["strength"], edit.curves["forget_accuracy"]
    assert len(strengths) == edit.epochs > 1
    assert strengths == pytest.approx([1.25**k for k in range(len(strengths))])
    assert shares[-1] <= 0.002 < shares[-2]
    once = carry_out(ClassDirection(tries=1), digits.model, target(digits, 3), Context(card=card))
    assert once.stopped.startswith("Not forgotten")


def test_what_no_other_class_has_is_not_seen_by_the_head_any_more(digits, card):
    forget = target(digits, 3)
    found = ClassDirection().probe(digits.model, forget, Context(card=card))
    edit = ClassDirection().edit(digits.model, forget, found, Context())
    direction = found.tensors["directions"][0]
    seen, _ = with_features(digits.model, digits.model.head, digits.rows.x[:20])
    kept = [label for label in range(10) if label != 3]
    moved = edit.model.head(seen + 5 * direction) - edit.model.head(seen)
    torch.testing.assert_close(moved[:, kept], torch.zeros(20, 9), atol=1e-4, rtol=0)


def test_means_of_classes_forgotten_earlier_are_not_asked_for(digits, card):
    context = Context(card=card.without(["5", "3"]))
    found = ClassDirection().probe(digits.model, target(digits, 3), context)
    assert found.facts["retained_means"] == 8
    edit = ClassDirection().edit(digits.model, target(digits, 3), found, context)
    assert digits.accuracy(edit.model, 3) < 0.1


def test_a_class_between_others_has_no_direction_of_its_own():
    """Two features and three classes: the first lies in the plane of the others."""
    x = torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]]).repeat_interleave(6, 0)
    rows = TensorRows(x, torch.arange(3).repeat_interleave(6))
    model = nn.Linear(2, 3)
    forget = ForgetTarget(TensorRows(x[:6], rows.y[:6]), "class", (0,))
    with pytest.raises(MethodError, match=r"Only 0.0% .* no direction of its own"):
        ClassDirection().probe(model, forget, Context(card=card_of(model, rows, ("a", "b", "c"))))


def test_a_single_layer_and_two_classes_are_enough():
    """Class 1 is what points along the second axis; without it every row is class 0."""
    x = torch.tensor([[1.0, 0.0], [0.2, 1.0]]).repeat_interleave(6, 0)
    rows = TensorRows(x, torch.arange(2).repeat_interleave(6))
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    forget = ForgetTarget(TensorRows(x[6:], rows.y[6:]), "class", (1,))
    edit = carry_out(
        ClassDirection(), model, forget, Context(card=card_of(model, rows, ("a", "b")))
    )
    torch.testing.assert_close(edit.model.weight.data, torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert edit.stopped == "Forgotten at strength 1."


def test_the_original_stays_and_instructions_travel(digits, card, tmp_path):
    original = copy.deepcopy(digits.model).train()
    weights = copy.deepcopy(original.state_dict())
    forget, context = target(digits, 4), Context(card=card)
    method = ClassDirection()
    found = method.probe(original, forget, context)
    found.save(tmp_path / "file")
    read = Instructions.load(tmp_path / "file")
    first, second = (method.edit(original, forget, i, context).model for i in (found, read))
    assert torch.equal(first.head.weight, second.head.weight)
    assert all(torch.equal(weights[n], tensor) for n, tensor in original.state_dict().items())
    assert original.training
    assert not any(module.training for module in first.modules())
    with pytest.raises(MethodError, match="not made by the probe of `class_direction`"):
        method.edit(original, target(digits, 3), found, context)


def test_a_head_frozen_by_its_owner_is_refused(digits, card):
    model = copy.deepcopy(digits.model)
    model.head.weight.requires_grad_(requires_grad=False)
    with pytest.raises(MethodError, match=r"frozen by its owner.*left as it was"):
        carry_out(ClassDirection(), model, target(digits, 3), Context(card=card))


def test_without_means_of_this_network_nothing_is_done(digits, card):
    forget = target(digits, 3)
    with pytest.raises(MethodError, match=r"lethe model card NAME/NUMBER --dataset data/NAME"):
        ClassDirection().probe(digits.model, forget, Context())
    other = replace(card, feature_means=torch.zeros(10, 7))
    with pytest.raises(MethodError, match=r"9 means .* 7 features, but 1 or more of 64"):
        ClassDirection().probe(digits.model, forget, Context(card=other))


def test_it_is_installed_under_its_name():
    assert load_method("class_direction", {"tries": 3}) == ClassDirection(tries=3)
    assert ClassDirection.needs == "stored_statistics"
