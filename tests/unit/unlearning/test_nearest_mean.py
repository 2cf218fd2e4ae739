"""Features of forget rows go to the nearest stored mean of another class; the means are held."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.models.card import About, make_card
from lethe.unlearning.delete import Delete
from lethe.unlearning.layers import with_features
from lethe.unlearning.method import Context, ForgetTarget, load_method
from lethe.unlearning.nearest_mean import NearestMean, spread_of

ABOUT = About("a" * 64, "data/x", "b" * 32, "c" * 40)
CPU = torch.device("cpu")


def card_of(model, rows, names):
    return make_card(model, rows, None, names, device=CPU, seed=0, about=ABOUT, fisher_rows=0)


@pytest.fixture(scope="module")
def context(digits):
    return Context(card=card_of(digits.model, digits.rows, tuple("0123456789")))


@pytest.fixture(scope="module")
def forget(digits):
    return ForgetTarget(digits.of_class(3), "class", (3,))


def plain() -> tuple[nn.Module, ForgetTarget, Context]:
    """Features are the inputs; means at (0, 0), (4, 0) and (0, 6), rows of class 0 beside them."""
    body, head = nn.Linear(2, 2, bias=False), nn.Linear(2, 3)
    with torch.no_grad():
        body.weight.copy_(torch.eye(2))
    model = nn.Sequential(body, head)
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 6.0]])
    rows = TensorRows(centres.repeat_interleave(6, 0), torch.arange(3).repeat_interleave(6))
    x = torch.tensor([[1.0, 0.5], [0.5, 5.0]])
    forget = ForgetTarget(TensorRows(x, torch.zeros(2).long()), "class", (0,))
    return model, forget, Context(card=card_of(model, rows, ("a", "b", "c")))


def test_the_nearest_mean_by_hand():
    model, forget, context = plain()
    found = NearestMean().probe(model, forget, context)
    assert found.tensors["means"].tolist() == [[4.0, 0.0], [0.0, 6.0]]
    assert found.tensors["nearest"].tolist() == [0, 1]
    assert found.facts["instructed"] == [0, 1, 1]
    assert spread_of(found.tensors["means"]) == 13  # half of the distance of 52, squared


def test_a_step_by_hand():
    """The body moves by the rate times the gradient of |W x - goal|^2 / 13, mean over two rows."""
    model, forget, context = plain()
    method = NearestMean(
        optimizer="sgd",
        learning_rate=0.1,
        clip=1e9,
        epochs=1,
        least_steps=1,
        repair_epochs=0,
        push_weight=0.0,
        pull_weight=0.0,
        hold_weight=0.0,
        edited_share=1.0,
    )
    edit = method.edit(model, forget, method.probe(model, forget, context), context)
    x = forget.rows.x
    goals = torch.tensor([[4.0, 0.0], [0.0, 6.0]])
    gradient = 2 * (x - goals).T @ x / 13 / 2
    torch.testing.assert_close(edit.model[0].weight.data, torch.eye(2) - 0.1 * gradient)
    assert torch.equal(edit.model[1].weight, model[1].weight)


def test_the_features_arrive_and_the_class_is_forgotten(digits, context, forget):
    found = NearestMean().probe(digits.model, forget, context)
    edit = NearestMean().edit(digits.model, forget, found, context)
    assert digits.accuracy(edit.model, 3) < 0.1
    rest = [label for label in range(10) if label != 3]
    assert digits.accuracy(edit.model, *rest) > digits.accuracy(digits.model, *rest) - 0.05
    goals = found.tensors["means"][found.tensors["nearest"]]

    def distance(model):
        with torch.no_grad():
            features, _ = with_features(model, model.head, forget.rows.x)
        return (features - goals).square().sum(1).mean().item()

    assert distance(edit.model) < 0.6 * distance(digits.model)
    # A negative control: an edit of the same layers that looks at logits alone.
    control = Delete(edited_share=0.3)
    other = control.edit(
        digits.model, forget, control.probe(digits.model, forget, context), context
    )
    assert digits.accuracy(other.model, 3) < 0.1
    assert distance(edit.model) < 0.9 * distance(other.model)


def test_answers_at_the_means_move_less_when_they_are_held(digits, context, forget):
    def moved(weight):
        method = NearestMean(hold_weight=weight, epochs=4, least_steps=1)
        found = method.probe(digits.model, forget, context)
        edit = method.edit(digits.model, forget, found, context)
        means = found.tensors["means"]
        before, after = (
            digits.model.head(means).log_softmax(1),
            edit.model.head(means).log_softmax(1),
        )
        return (before.exp() * (before - after)).sum(1).mean().item()

    assert moved(50.0) < moved(0.0)


def test_the_original_is_not_changed(digits, context, forget):
    original = copy.deepcopy(digits.model).train()
    weights = copy.deepcopy(original.state_dict())
    method = NearestMean(epochs=1, least_steps=1, repair_epochs=0)
    method.edit(original, forget, method.probe(original, forget, context), context)
    assert all(torch.equal(weights[n], tensor) for n, tensor in original.state_dict().items())
    assert original.training


def test_what_does_not_belong_together_is_refused(digits, context, forget):
    with pytest.raises(MethodError, match=r"lethe model card NAME/NUMBER --dataset data/NAME"):
        NearestMean().probe(digits.model, forget, Context())
    short = replace(context.card, feature_means=torch.zeros(10, 7))
    with pytest.raises(MethodError, match=r"9 means .* 7 features, but 2 or more of 64"):
        NearestMean().probe(digits.model, forget, Context(card=short))
    lonely = Context(card=context.card.without(list("12456789")))
    with pytest.raises(MethodError, match=r"1 means .* 2 or more"):
        NearestMean().probe(digits.model, forget, lonely)
    found = NearestMean().probe(digits.model, forget, context)
    other = ForgetTarget(digits.of_class(4), "class", (4,))
    with pytest.raises(MethodError, match="Run the probe again"):
        NearestMean().edit(digits.model, other, found, context)


def test_it_is_installed_under_its_name():
    assert load_method("nearest_mean", {"epochs": 3}) == NearestMean(epochs=3)
    assert NearestMean.needs == "stored_statistics"
