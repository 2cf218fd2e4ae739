"""Calibrated forgetting brings rows to what was never seen, not beyond, and keeps the rest."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lethe.data.card_facts import LEVELS
from lethe.data.rows import TensorRows
from lethe.errors import MethodError, ModelError
from lethe.models.card import About, make_card
from lethe.unlearning.calibrated import Calibrated
from lethe.unlearning.method import (
    Context,
    ForgetTarget,
    Instructions,
    check_can_forget,
    load_method,
)
from lethe.unlearning.unseen import share_above

NAMES = tuple("0123456789")
ABOUT = About("a" * 64, "data/x", "b" * 32, "c" * 40)


@pytest.fixture(scope="module")
def card(digits):
    return make_card(
        digits.model,
        digits.rows,
        digits.held_out,
        NAMES,
        device=torch.device("cpu"),
        seed=0,
        about=ABOUT,
        fisher_rows=0,
    )


@pytest.fixture(scope="module")
def forget(digits):
    """The rows that the network is surest of: a member by any attack."""
    with torch.no_grad():
        losses = F.cross_entropy(digits.model(digits.rows.x), digits.rows.y, reduction="none")
    at = losses.argsort()[:150]
    return ForgetTarget(TensorRows(digits.rows.x[at], digits.rows.y[at]), "samples")


def area(model, rows, card):
    with torch.no_grad():
        losses = F.cross_entropy(model(rows.x), rows.y, reduction="none")
    return share_above(losses, card.loss_quantiles("held_out")[0][rows.y]).mean().item()


def carry_out(method, model, forget, context):
    return method.edit(model, forget, method.probe(model, forget, context), context)


def test_rows_stop_standing_out_and_everything_else_stays(digits, card, forget):
    edit = carry_out(Calibrated(), digits.model, forget, Context(card=card))
    assert area(digits.model, forget.rows, card) > 0.75
    assert area(edit.model, forget.rows, card) == pytest.approx(0.5, abs=0.02)
    assert edit.stopped.startswith("Forgotten: ")
    before, after = (digits.accuracy(m, *range(10)) for m in (digits.model, edit.model))
    assert after > before - 0.02
    assert edit.curves["auc"][0] > edit.curves["auc"][-1]


def test_rows_are_not_made_wrong(digits, card, forget):
    """A network that never saw them would be right about most of them."""
    edit = carry_out(Calibrated(), digits.model, forget, Context(card=card))
    with torch.no_grad():
        right = (edit.model(forget.rows.x).argmax(1) == forget.rows.y).float().mean().item()
    assert right > digits.accuracy(digits.model, *range(10)) - 0.05


@pytest.mark.parametrize("rate", [1e-3, 2e-2])
@pytest.mark.parametrize("compare", ["log_odds", "loss"])
def test_no_edit_goes_beyond(digits, card, forget, rate, compare):
    method = Calibrated(learning_rate=rate, compare=compare, pull_weight=0.0)
    edit = carry_out(method, digits.model, forget, Context(card=card))
    assert area(edit.model, forget.rows, card) >= 0.48


def test_an_edit_that_went_too_far_is_taken_back_on_the_way_it_came(digits, card, forget):
    """Targets far beyond what the card says stand for an optimizer that overshoots."""
    method, context = Calibrated(pull_weight=0.0), Context(card=card)
    found = method.probe(digits.model, forget, context)
    tensors = {**found.tensors, "targets": torch.full((150,), 8.0)}
    edit = method.edit(digits.model, forget, Instructions(tensors, found.facts), context)
    assert edit.curves["auc"][-1] < 0.4
    assert area(edit.model, forget.rows, card) == pytest.approx(0.5, abs=0.02)
    assert "went too far" in edit.stopped


def test_rows_that_do_not_stand_out_are_left_alone(digits, card):
    """A negative control: rows that were never trained on."""
    forget = ForgetTarget(digits.held_out, "samples")
    edit = carry_out(Calibrated(), digits.model, forget, Context(card=card))
    assert edit.stopped.startswith("Nothing to do")
    assert edit.epochs == 0
    for name, tensor in digits.model.state_dict().items():
        assert torch.equal(tensor, edit.model.state_dict()[name])


def test_the_target_is_the_card_s_word_and_not_the_method_s(digits, card, forget):
    """A negative control: a card that says unseen rows are as well known as these."""
    losses = torch.full((10, len(LEVELS)), 1e-9)
    edit = carry_out(
        Calibrated(), digits.model, forget, Context(card=replace(card, held_out_loss=losses))
    )
    assert edit.stopped.startswith("Nothing to do")


def test_too_few_epochs_are_reported(digits, card, forget):
    method = Calibrated(epochs=1, least_steps=1, learning_rate=1e-6)
    edit = carry_out(method, digits.model, forget, Context(card=card))
    assert edit.stopped.startswith("Not forgotten: the rows' area")


def test_the_pull_holds_the_anchors(digits, card, forget):
    method, context = Calibrated(), Context(card=card)
    found = method.probe(digits.model, forget, context)

    def moved(weight):
        edit = method.model_copy(update={"pull_weight": weight}).edit(
            digits.model, forget, found, context
        )
        with torch.no_grad():
            logits = edit.model(found.tensors["anchor_inputs"])
        return F.kl_div(
            logits.log_softmax(1),
            found.tensors["anchor_teacher_logits"].log_softmax(1),
            log_target=True,
            reduction="batchmean",
        ).item()

    assert moved(200.0) < moved(0.0) / 2


def test_the_original_its_flags_and_statistics_are_kept(digits, card, forget):
    original = copy.deepcopy(digits.model).train()
    original.conv1.weight.requires_grad_(requires_grad=False)
    weights = copy.deepcopy(original.state_dict())
    flags = {name: weight.requires_grad for name, weight in original.named_parameters()}
    edit = carry_out(Calibrated(edited_share=1.0), original, forget, Context(card=card))
    assert all(torch.equal(weights[n], tensor) for n, tensor in original.state_dict().items())
    assert torch.equal(edit.model.conv1.weight, weights["conv1.weight"])
    assert not torch.equal(edit.model.head.weight, weights["head.weight"])
    for model in (original, edit.model):
        assert flags == {name: weight.requires_grad for name, weight in model.named_parameters()}
        assert all(weight.grad is None for weight in model.parameters())
    assert all(torch.equal(weights[n], buffer) for n, buffer in edit.model.named_buffers())


def test_the_seed_decides_and_instructions_travel(digits, card, forget, tmp_path):
    method = Calibrated()

    def head(instructions, seed):
        context = Context(seed=seed, card=card)
        return method.edit(digits.model, forget, instructions, context).model.head.weight

    found = method.probe(digits.model, forget, Context(seed=1, card=card))
    found.save(tmp_path / "file")
    torch.manual_seed(99)  # the global generator plays no part
    first = head(found, 1)
    assert torch.equal(first, head(Instructions.load(tmp_path / "file"), 1))
    assert not torch.equal(first, head(found, 2))


def test_one_row_is_enough(digits, card, forget):
    one = ForgetTarget(TensorRows(forget.rows.x[:1], forget.rows.y[:1]), "samples")
    edit = carry_out(Calibrated(), digits.model, one, Context(card=card))
    assert area(edit.model, one.rows, card) == pytest.approx(0.5, abs=0.02)


def test_a_class_without_rows_of_its_own_borrows_those_of_all(digits, card, forget):
    few = replace(card, held_out_rows=torch.zeros(10, dtype=torch.long))
    found = Calibrated().probe(digits.model, forget, Context(card=few))
    assert found.facts["borrowed_classes"] == len(forget.rows.y.unique())
    assert torch.equal(found.tensors["quantiles"][0], card.all_held_out_loss)
    with pytest.raises(ModelError, match="holds no loss of held-out rows"):
        Calibrated().probe(digits.model, forget, Context(card=replace(few, all_held_out_loss=None)))


def test_what_it_cannot_do_is_refused_with_the_next_command(digits, card, forget):
    with pytest.raises(MethodError, match=r"lethe model card NAME/NUMBER --dataset data/NAME"):
        Calibrated().probe(digits.model, forget, Context())
    with pytest.raises(MethodError, match="selects by class"):
        check_can_forget(Calibrated(), "class")
    found = Calibrated().probe(digits.model, forget, Context(card=card))
    other = ForgetTarget(TensorRows(forget.rows.x[:9], forget.rows.y[:9]), "samples")
    with pytest.raises(MethodError, match="not made by the probe of `calibrated`"):
        Calibrated().edit(digits.model, other, found, Context(card=card))
    short = replace(
        card,
        classes=NAMES[:9],
        **{
            name: getattr(card, name)[:9]
            for name in (
                "train_rows",
                "held_out_rows",
                "held_out_accuracy",
                "feature_means",
                "train_loss",
                "held_out_loss",
            )
        },
    )
    with pytest.raises(MethodError, match="describes 9 classes, but the model has 10 outputs"):
        Calibrated().probe(digits.model, forget, Context(card=short))


def test_it_is_installed_under_its_name():
    assert load_method("calibrated", {"tolerance": 0.1}) == Calibrated(tolerance=0.1)
    assert Calibrated.needs == "stored_statistics"


def test_the_floor_is_what_the_retrained_networks_of_neighbouring_seeds_differ_by(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[3] / "benchmarks")
    from person_forgetting import FIGURES, summarise

    def run(seed, auc):
        known = dict.fromkeys(FIGURES, auc)
        distance = dict.fromkeys(FIGURES, 0.5 - auc)
        return {
            "seed": seed,
            "person": 0,
            "retrained": known,
            "distance_before": distance,
            "distance_after": distance,
        }

    found = summarise([run(0, 0.5), run(1, 0.6), run(2, 0.9)])
    assert found["floor"]["membership_auc"] == pytest.approx((0.1 + 0.3 + 0.4) / 3, abs=1e-4)
    assert found["after"]["person_train"] == pytest.approx(0.5 / 3, abs=1e-4)
    assert found["after_worst_seed"]["person_train"] == pytest.approx(0.4)
    assert "floor" not in summarise([run(0, 0.5)])


def test_with_their_sign_the_distances_of_a_persons_seeds_cancel(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[3] / "benchmarks")
    from person_forgetting import FIGURES, summarise

    def run(seed, person, distance):
        each = dict.fromkeys(FIGURES, distance)
        known = dict.fromkeys(FIGURES, 0.5)
        facts = {"seed": seed, "person": person, "retrained": known}
        return {**facts, "distance_before": each, "distance_after": each}

    runs = [run(0, 0, 0.3), run(1, 0, -0.1), run(0, 1, 0.4), run(1, 1, 0.2)]
    mean, half = summarise(runs)["signed"]["after"]["membership_auc"]
    assert mean == pytest.approx(0.2)  # people's means are 0.1 and 0.3
    assert half == pytest.approx(12.7062 * 0.1, abs=1e-3)  # t of one degree, standard error 0.1
    alone = summarise(runs[:2])["signed"]["before"]["person_train"]
    assert alone == [pytest.approx(0.1), None]
