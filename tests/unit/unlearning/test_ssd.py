"""SSD dampens what its formula says, and no more than its guard allows."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from lethe.data.fisher import fisher_diagonal
from lethe.data.rows import TensorRows
from lethe.errors import MethodError
from lethe.models.card import About, make_card
from lethe.unlearning.method import Context, ForgetTarget, Instructions, load_method
from lethe.unlearning.ssd import SSD, dampen, drift, ratio

CPU = torch.device("cpu")
ABOUT = About("a" * 64, "data/x", "b" * 32, "c" * 40)
NAMES = tuple("0123456789")


def card_of(model, rows, held_out, classes):
    return make_card(model, rows, held_out, classes, device=CPU, seed=0, about=ABOUT)


@pytest.fixture(scope="module")
def card(digits):
    return card_of(digits.model, digits.rows, digits.held_out, NAMES)


def target(digits, *labels):
    return ForgetTarget(digits.of_class(*labels), "class", labels)


def carry_out(method, model, forget, context):
    return method.edit(model, forget, method.probe(model, forget, context), context)


def test_the_formula_by_hand():
    """F_f / F_D is 20, 5, infinite, none and 12; alpha is 10 and lambda 2."""
    found = ratio(torch.tensor([2.0, 1.0, 3.0, 0.0, 6.0]), torch.tensor([0.1, 0.2, 0.0, 0.0, 0.5]))
    torch.testing.assert_close(found, torch.tensor([20.0, 5.0, torch.inf, 0.0, 12.0]))
    model = nn.Linear(5, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0, -6.0]]))
    dampen(model, {"weight": found[None]}, 10.0, 2.0)
    torch.testing.assert_close(model.weight.data, torch.tensor([[0.1, 2.0, 0.0, 4.0, -1.0]]))


def test_a_weight_never_grows():
    model = nn.Linear(1, 1, bias=False)
    before = model.weight.item()
    dampen(model, {"weight": torch.tensor([[11.0]])}, 10.0, 50.0)
    assert model.weight.item() == before


def test_drift_by_hand_leaves_the_row_s_own_class_out():
    """Among classes 1 and 2, 3/4 and 1/4 become halves: 3/4 log 3/2 + 1/4 log 1/2 nats."""
    before = torch.tensor([[9.0, 3.0, 1.0]])
    before[0, 1:] = torch.tensor([3.0, 1.0]).log()
    after = torch.tensor([[-50.0, 0.0, 0.0]])
    wrong = torch.tensor([[True, False, False]])
    expected = 0.75 * torch.tensor(1.5).log() + 0.25 * torch.tensor(0.5).log()
    torch.testing.assert_close(
        drift(before, after, wrong), expected.double()[None], atol=1e-6, rtol=0
    )
    assert drift(before, before - 7, wrong).abs().item() < 1e-9


def test_every_weight_is_what_the_formula_gives_from_the_card(digits, card):
    method = SSD(alpha=3.0, dampening=0.5, most_dampened=1.0, most_drift=100.0)
    forget = target(digits, 3)
    edit = carry_out(method, digits.model, forget, Context(card=card))
    own = fisher_diagonal(digits.model, forget.rows, device=CPU).diagonal
    changed = 0
    for name, weight in digits.model.named_parameters():
        over = own[name] > 3.0 * card.fisher[name]
        scaled = (0.5 * card.fisher[name] / own[name]).clamp_max(1) * weight
        expected = torch.where(over, scaled, weight)
        torch.testing.assert_close(edit.model.get_parameter(name), expected)
        changed += int(over.sum())
    weights = sum(weight.numel() for weight in digits.model.parameters())
    assert edit.curves["dampened_share"] == [changed / weights]
    assert edit.curves["alpha"] == [3.0]
    assert changed


def test_it_forgets_a_class_and_keeps_the_others(digits, card):
    edit = carry_out(SSD(alpha=3.0), digits.model, target(digits, 4), Context(card=card))
    rest = [label for label in range(10) if label != 4]
    assert digits.accuracy(digits.model, 4) > 0.9
    assert digits.accuracy(edit.model, 4) < 0.1
    assert digits.accuracy(edit.model, *rest) > digits.accuracy(digits.model, *rest) - 0.05


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        ({"most_dampened": 0.005, "most_drift": 100.0}, "of the weights would be dampened"),
        ({"most_dampened": 1.0, "most_drift": 0.01}, "other answers would drift by"),
    ],
)
def test_the_guard_raises_alpha_until_its_bounds_hold(digits, card, bound, reason):
    free = SSD(alpha=1.5, most_dampened=1.0, most_drift=100.0)
    forget, context = target(digits, 3), Context(card=card)
    ruined = carry_out(free, digits.model, forget, context)
    edit = carry_out(free.model_copy(update=bound), digits.model, forget, context)
    alphas = edit.curves["alpha"]
    assert len(alphas) == edit.epochs > 1
    assert alphas == pytest.approx([1.5 * 1.5**k for k in range(len(alphas))])
    name, most = ("drift", 0.01) if "drift" in reason else ("dampened_share", 0.005)
    assert edit.curves[name][-1] <= most < edit.curves[name][-2]
    assert reason in edit.stopped
    assert "raised" in edit.stopped
    rest = [label for label in range(10) if label != 3]
    assert digits.accuracy(ruined.model, *rest) < digits.accuracy(edit.model, *rest)


def test_a_guard_that_is_never_satisfied_is_an_error(digits, card):
    method = SSD(alpha=1.5, most_dampened=1e-9, tries=2)
    with pytest.raises(MethodError, match=r"No alpha up to 2.25 passes .* weights would be damp"):
        carry_out(method, digits.model, target(digits, 3), Context(card=card))


def test_an_alpha_that_nothing_exceeds_says_which_one_would_do(digits, card):
    """A tenth of the rows has at most ten times the Fisher information of all."""
    edit = carry_out(SSD(alpha=50.0), digits.model, target(digits, 3), Context(card=card))
    assert edit.stopped.startswith("Not forgotten")
    assert "lower `alpha`" in edit.stopped
    for name, tensor in digits.model.state_dict().items():
        assert torch.equal(tensor, edit.model.state_dict()[name])


def test_rows_that_are_like_all_others_have_nothing_to_dampen(digits, card):
    """A negative control: the ratio of the whole training set to itself is one."""
    forget = ForgetTarget(digits.rows, "samples")
    found = SSD().probe(digits.model, forget, Context(card=card))
    assert found.facts["over_alpha"] == 0
    assert found.facts["largest_ratio"] == pytest.approx(1, rel=1e-3)


def test_single_rows_can_be_forgotten_too(digits, card):
    rows = TensorRows(digits.rows.x[:3], digits.rows.y[:3])
    forget = ForgetTarget(rows, "samples")
    found = SSD().probe(digits.model, forget, Context(card=card))
    assert found.facts["rows"] == 3
    assert found.facts["over_alpha"] > 0


def test_the_original_and_what_its_owner_froze_stay(digits, card, tmp_path):
    original = copy.deepcopy(digits.model).train()
    original.head.weight.requires_grad_(requires_grad=False)
    weights = copy.deepcopy(original.state_dict())
    forget, context = target(digits, 4), Context(card=card)
    method = SSD(alpha=3.0)
    method.probe(original, forget, context).save(tmp_path / "file")
    edit = method.edit(original, forget, Instructions.load(tmp_path / "file"), context)
    assert all(torch.equal(weights[n], tensor) for n, tensor in original.state_dict().items())
    assert original.training
    assert not any(module.training for module in edit.model.modules())
    assert torch.equal(edit.model.head.weight, weights["head.weight"])
    assert not edit.model.head.weight.requires_grad
    assert not torch.equal(edit.model.conv2.weight, weights["conv2.weight"])
    assert all(torch.equal(weights[n], buffer) for n, buffer in edit.model.named_buffers())


def test_without_a_card_or_with_another_network_s_nothing_is_done(digits, card):
    with pytest.raises(MethodError, match=r"lethe model card NAME/NUMBER --dataset data/NAME"):
        SSD().probe(digits.model, target(digits, 3), Context())
    for fisher in ({}, {**card.fisher, "head.bias": torch.ones(3)}):
        with pytest.raises(MethodError, match="no Fisher information of this network"):
            SSD().probe(digits.model, target(digits, 3), Context(card=replace(card, fisher=fisher)))


def test_instructions_of_other_rows_are_refused(digits, card):
    context = Context(card=card)
    found = SSD().probe(digits.model, target(digits, 3), context)
    with pytest.raises(MethodError, match="not made by the probe of `ssd`"):
        SSD().edit(digits.model, target(digits, 4), found, context)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(MethodError, match="weights that the model does not have"):
        SSD().edit(other, target(digits, 3), found, context)


def test_it_is_installed_under_its_name():
    assert load_method("ssd", {"alpha": 5.0}) == SSD(alpha=5.0)
    assert SSD.needs == "stored_statistics"
