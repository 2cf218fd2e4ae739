"""For people, calibrated forgetting goes by networks that never saw them, held by the curvature."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from lethe.data.curvature import Factors, penalty, weight_matrix
from lethe.data.rows import TensorRows
from lethe.data.unseen_people import UnseenPeople, person_tables
from lethe.errors import MethodError
from lethe.models.card import About, make_card
from lethe.unlearning.calibrated import Calibrated
from lethe.unlearning.method import Context, ForgetTarget, Instructions
from lethe.unlearning.unseen import share_above

NAMES = tuple("0123456789")
ABOUT = About("a" * 64, "data/x", "b" * 32, "c" * 40)
ANN, BOB = "a" * 64, "b" * 64


def of(rows, model, harder):
    """A table of rows' losses with a network that knows them worse by that factor."""
    with torch.no_grad():
        losses = F.cross_entropy(model(rows.x), rows.y, reduction="none")
    return person_tables(losses * harder, rows.y, 10)


@pytest.fixture(scope="module")
def card(digits):
    tables = [of(digits.held_out, digits.model, one) for one in (1.0, 2.0)]
    plain = make_card(
        digits.model,
        digits.rows,
        digits.held_out,
        NAMES,
        device=torch.device("cpu"),
        seed=0,
        about=ABOUT,
        fisher_rows=0,
        curvature_rows=500,
    )
    stacked = [torch.stack([table[part] for table in tables]) for part in range(3)]
    return replace(plain, unseen=UnseenPeople((ANN, BOB), *stacked))


@pytest.fixture(scope="module")
def rows(digits):
    """The rows that the network is surest of."""
    with torch.no_grad():
        losses = F.cross_entropy(digits.model(digits.rows.x), digits.rows.y, reduction="none")
    at = losses.argsort()[:150]
    return TensorRows(digits.rows.x[at], digits.rows.y[at])


def person(rows, *fingerprints):
    return ForgetTarget(rows, "subject", fingerprints=fingerprints)


def carry_out(method, model, forget, context):
    return method.edit(model, forget, method.probe(model, forget, context), context)


def loss_of(model, rows):
    with torch.no_grad():
        return F.cross_entropy(model(rows.x), rows.y).item()


def test_a_person_s_own_losses_are_the_reference_and_the_edit_says_so(digits, card, rows):
    context, method = Context(card=card), Calibrated()
    found = {
        name: method.probe(digits.model, person(rows, *marks), context)
        for name, marks in (("ann", [ANN]), ("bob", [BOB]), ("both", [ANN, BOB]), ("cy", ["c"]))
    }
    for name, row in (("ann", 0), ("bob", 1)):
        assert torch.allclose(
            found[name].tensors["quantiles"][3][1:-1], card.unseen.loss[row, 3][1:-1], rtol=0.2
        )
        assert found[name].facts["reference"] == "person"
    assert torch.equal(found["both"].tensors["quantiles"], found["cy"].tensors["quantiles"])
    assert (found["both"].facts["reference"], found["cy"].facts["reference"]) == (
        "person",
        "people",
    )
    assert found["bob"].tensors["targets"].mean() > 1.5 * found["ann"].tensors["targets"].mean()
    edit = method.edit(digits.model, person(rows, BOB), found["bob"], context)
    assert "trained without the person, on the person's own rows" in edit.stopped
    edit = method.edit(digits.model, person(rows, "c"), found["cy"], context)
    assert "on other people's rows" in edit.stopped


def test_who_is_known_worse_by_networks_that_never_saw_them_is_forgotten_further(
    digits, card, rows
):
    context = Context(card=card)
    ann, bob = (
        carry_out(Calibrated(), digits.model, person(rows, one), context).model
        for one in (ANN, BOB)
    )
    assert loss_of(digits.model, rows) < loss_of(ann, rows) < loss_of(bob, rows)
    assert digits.accuracy(bob, *range(10)) > digits.accuracy(digits.model, *range(10)) - 0.03


def test_single_rows_and_cards_without_people_go_by_held_out_rows(digits, card, rows):
    samples = ForgetTarget(rows, "samples")
    for forget, known in ((samples, card), (person(rows, ANN), replace(card, unseen=None))):
        found = Calibrated().probe(digits.model, forget, Context(card=known))
        assert found.facts["reference"] == "held_out"
        assert torch.equal(found.tensors["quantiles"], card.loss_quantiles("held_out")[0])
    edit = carry_out(
        Calibrated(), digits.model, person(rows, ANN), Context(card=replace(card, unseen=None))
    )
    assert "retrained network knows them less" in edit.stopped


def test_single_rows_stop_standing_out_where_the_curvature_holds_the_rest(digits, card, rows):
    edit = carry_out(Calibrated(), digits.model, ForgetTarget(rows, "samples"), Context(card=card))
    with torch.no_grad():
        losses = F.cross_entropy(edit.model(rows.x), rows.y, reduction="none")
    quantiles = card.loss_quantiles("held_out")[0]
    assert share_above(losses, quantiles[rows.y]).mean().item() < 0.7
    assert (
        digits.accuracy(edit.model, *range(10)) > digits.accuracy(digits.model, *range(10)) - 0.02
    )


def test_only_held_layers_change_and_a_heavier_weight_holds_them_more(digits, card, rows):
    forget, context = person(rows, BOB), Context(card=card)

    def moved(**options):
        model = carry_out(Calibrated(**options), digits.model, forget, context).model
        before, after = digits.model.state_dict(), model.state_dict()
        names = {n for n, one in after.items() if not torch.equal(before[n], one)}
        changes = {
            name: weight_matrix(model.get_submodule(name)).detach()
            - weight_matrix(digits.model.get_submodule(name)).detach()
            for name in card.curvature
        }
        return names, float(penalty(card.curvature, changes))

    names, cost = moved()
    layers = {"conv1.weight", "conv2.weight", "feature.weight", "feature.bias"}
    assert names == layers | {"head.weight", "head.bias"}  # no normalisation
    assert moved(hold_weight=1e5)[1] < cost / 3
    free, _ = moved(hold_weight=0.0)
    assert "conv1.weight" not in free  # as without curvature: the last layers alone


def test_the_curvature_travels_in_the_instructions(digits, card, rows, tmp_path):
    method, forget, context = Calibrated(), person(rows, BOB), Context(card=card)
    found = method.probe(digits.model, forget, context)
    found.save(tmp_path / "file")
    one = method.edit(digits.model, forget, found, Context())
    other = method.edit(digits.model, forget, Instructions.load(tmp_path / "file"), context)
    assert torch.equal(one.model.conv1.weight, other.model.conv1.weight)
    assert found.facts["held_layers"] == 4


def test_the_curvature_of_another_network_is_refused(digits, card, rows):
    other = replace(card, curvature={"head": Factors(torch.eye(3), torch.eye(3))})
    with pytest.raises(MethodError, match=r"layer 'head'.*lethe model card"):
        Calibrated().probe(digits.model, person(rows, ANN), Context(card=other))
    missing = replace(card, curvature={"neck": Factors(torch.eye(3), torch.eye(3))})
    with pytest.raises(MethodError, match="layer 'neck'"):
        Calibrated().probe(digits.model, person(rows, ANN), Context(card=missing))
