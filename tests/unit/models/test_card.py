"""The card of a model that is known by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lethe.data.card_facts import LEVELS
from lethe.data.rows import TensorRows
from lethe.data.unseen_people import UnseenPeople
from lethe.errors import DataError, ModelError
from lethe.models.card import About, make_card
from lethe.models.cross_fitting import CrossFitted

CPU = torch.device("cpu")
ABOUT = About("a" * 64, "data/x", "b" * 32, "c" * 40)
CLASSES = ("left", "right", "rare")


class Doubled(nn.Module):
    """Features are the input doubled, logits the features and a zero."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.head = nn.Linear(2, 3)
        with torch.no_grad():
            self.first.weight.copy_(2 * torch.eye(2))
            self.head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
            self.head.bias.zero_()

    def forward(self, x):
        return self.head(self.first(x))


def rows(left, right, rare, unknown=0, seed=0):
    made = torch.Generator().manual_seed(seed)
    y = torch.tensor([0] * left + [1] * right + [2] * rare + [-1] * unknown)
    x = torch.randn(len(y), 2, generator=made)
    order = torch.randperm(len(y), generator=made)
    return TensorRows(x[order], y[order])


def card_of(train, held_out, model=None, **more):
    made = {"device": CPU, "seed": 0, "about": ABOUT, **more}
    return make_card(model or Doubled(), train, held_out, CLASSES, **made)


def test_counts_accuracy_means_and_quantiles_are_those_computed_by_hand():
    train, held_out = rows(700, 20, 4, unknown=9), rows(30, 3, 0, seed=1)
    card = card_of(train, held_out)
    assert card.train_rows.tolist() == [700, 20, 4]
    assert card.held_out_rows.tolist() == [30, 3, 0]
    for label in (0, 1):
        x = train.x[train.y == label]
        assert torch.allclose(card.for_class(label).feature_mean, 2 * x.mean(0), atol=1e-5)
        logits = F.pad(2 * x, (0, 1))
        losses = F.cross_entropy(logits, torch.full((len(x),), label), reduction="none")
        expected = torch.quantile(losses.double(), torch.tensor(LEVELS, dtype=torch.float64))
        assert torch.allclose(card.for_class(label).train_loss.double(), expected, atol=1e-5)
    x = held_out.x[held_out.y == 0]
    right = ((x[:, 0] >= x[:, 1]) & (x[:, 0] >= 0)).float().mean()
    assert card.for_class("left").held_out_accuracy == pytest.approx(float(right))
    assert card.facts.fisher_rows == 724
    assert card.fisher["head.bias"].shape == (3,)
    assert card.facts.weights_sha256 == "a" * 64


def test_a_class_with_fewer_than_five_rows_gets_nothing_of_its_own():
    card = card_of(rows(20, 5, 4), rows(20, 4, 5))
    rare, right = card.for_class("rare"), card.for_class("right")
    assert (rare.status, rare.feature_mean, rare.train_loss_own) == ("few_rows", None, False)
    assert not card.feature_means[2].any()
    assert not card.train_loss[2].any()
    assert rare.held_out_loss_own  # five held-out rows are enough
    assert right.feature_mean is not None  # five training rows are enough
    assert (right.held_out_loss_own, right.held_out_accuracy) == (False, None)
    assert not card.held_out_loss[1].any()


def test_unknown_rows_count_nowhere():
    known = rows(20, 20, 20)
    x = torch.cat([known.x, torch.full((7, 2), 1e4)])
    y = torch.cat([known.y, torch.full((7,), -1)])
    one, other = card_of(known, None), card_of(TensorRows(x, y), None)
    for name, table in one._tables().items():
        assert torch.allclose(table, other._tables()[name], atol=1e-6)


def test_without_held_out_rows_the_card_says_nothing_of_them():
    card = card_of(rows(20, 20, 20), None)
    assert card.all_held_out_loss is None
    assert card.for_class("left").held_out_loss is None
    with pytest.raises(ModelError, match="no loss of held-out rows"):
        card.loss_quantiles("held_out")


def test_features_of_a_network_without_a_linear_layer_are_left_out():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return F.pad(x, (0, 1)) * self.scale

    card = card_of(rows(20, 20, 20), None, Plain())
    assert card.feature_means.shape == (3, 0)
    assert card.for_class("left").feature_mean is None
    assert card.for_class("left").train_loss_own


def test_the_fisher_information_takes_a_seeded_bounded_sample_or_is_left_out():
    train = rows(50, 50, 50)
    one = card_of(train, None, fisher_rows=30)
    other = card_of(train, None, fisher_rows=30, seed=1)
    assert one.facts.fisher_rows == 30
    assert not torch.equal(one.fisher["head.weight"], other.fisher["head.weight"])
    none = card_of(train, None, fisher_rows=0)
    assert (none.fisher, none.facts.fisher_by, none.facts.fisher_rows) == ({}, "none", 0)


def test_the_model_stays_in_its_mode_with_its_weights():
    model = Doubled().train()
    model.head.weight.requires_grad_(False)
    card_of(rows(20, 20, 20), None, model)
    assert model.training
    assert not model.head.weight.requires_grad
    assert torch.equal(model.first.weight, 2 * torch.eye(2))


def test_what_a_card_cannot_be_made_of_is_refused():
    with pytest.raises(DataError, match="4 training rows"):
        card_of(rows(4, 0, 0, unknown=20), None)
    with pytest.raises(ModelError, match="one logit for each of 3 classes"):
        card_of(rows(20, 0, 0), None, nn.Linear(2, 4))
    broken = Doubled()
    with torch.no_grad():
        broken.head.bias.fill_(torch.nan)
    with pytest.raises(ModelError, match="not finite"):
        card_of(rows(20, 0, 0), None, broken)


def test_curvature_and_people_are_kept_where_they_are_asked_for():
    train = rows(20, 20, 20)
    people = UnseenPeople((), torch.zeros(0, 3), torch.zeros(0, 3, 21), torch.zeros(0, 21))
    card = card_of(train, None, curvature_rows=30, unseen=CrossFitted(people, 4, 1.5))
    assert (card.facts.curvature_rows, card.facts.unseen_folds) == (30, 4)
    assert card.facts.curvature_temperature == 3
    assert set(card.curvature) == {"first", "head"}
    assert card.curvature["head"].inputs.shape == (3, 3)  # two features and the bias
    assert card.unseen is people
    plain = card_of(train, None)
    assert (plain.curvature, plain.unseen, plain.facts.curvature_rows) == ({}, None, 0)
