"""What a training card keeps, hands out and takes out."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors import safe_open
from safetensors.torch import save_file

from lethe.data.card_facts import LEVELS, CardFacts
from lethe.data.curvature import Factors
from lethe.data.training_card import FILE_NAME, TrainingCard
from lethe.data.unseen_people import UnseenPeople
from lethe.errors import ModelError

Q = len(LEVELS)
FLOATS = st.floats(-1e6, 1e6, width=32)


def facts(**more):
    known = {
        "weights_sha256": "a" * 64,
        "dataset": "data/x",
        "dvc_md5": "b" * 32,
        "git_rev": "c" * 40,
        "seed": 0,
        "fisher_rows": 12,
        "fisher_by": "vmap",
    }
    return CardFacts.model_validate({**known, **more})


def losses(rows):
    return torch.tensor(np.quantile(rows, LEVELS), dtype=torch.float32)


# Three classes; the last has too few training rows, the second and last too few held-out rows.
TRAIN = {"a": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "b": [1.0] * 10, "c": [9.0] * 2}
HELD_OUT = {"a": [0.5, 1.0, 1.5, 2.0, 2.5], "b": [4.0] * 3, "c": []}


def make():
    zero = torch.zeros(Q)
    return TrainingCard(
        classes=("a", "b", "c"),
        facts=facts(),
        train_rows=torch.tensor([6, 10, 2]),
        held_out_rows=torch.tensor([5, 3, 0]),
        held_out_accuracy=torch.tensor([0.8, 0.0, 0.0]),
        feature_means=torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]),
        train_loss=torch.stack([losses(TRAIN["a"]), losses(TRAIN["b"]), zero]),
        held_out_loss=torch.stack([losses(HELD_OUT["a"]), zero, zero]),
        all_train_loss=losses([*TRAIN["a"], *TRAIN["b"], *TRAIN["c"]]),
        all_held_out_loss=losses([*HELD_OUT["a"], *HELD_OUT["b"]]),
        fisher={"head.weight": torch.arange(6.0).reshape(3, 2), "head.bias": torch.ones(3)},
    )


def with_people():
    """The same card with curvature, and losses of two people."""
    rows = torch.tensor([[6, 5, 0], [0, 10, 0]])
    loss = torch.zeros(2, 3, Q)
    loss[0, 0], loss[0, 1], loss[1, 1] = losses([1.0] * 6), losses([2.0] * 5), losses([7.0] * 10)
    unseen = UnseenPeople(("a" * 64, "b" * 64), rows, loss, torch.stack([loss[0, 1], loss[1, 1]]))
    return TrainingCard(
        **{
            **vars(make()),
            "facts": facts(curvature_rows=9, unseen_folds=2),
            "curvature": {"head": Factors(torch.eye(3), 2 * torch.eye(3))},
            "unseen": unseen,
        }
    )


def equal(one, other):
    assert (one.classes, one.facts) == (other.classes, other.facts)
    first, second = one._tables(), other._tables()
    assert first.keys() == second.keys()
    return all(
        a.dtype == second[name].dtype and torch.equal(a, second[name]) for name, a in first.items()
    )


def test_a_class_with_enough_rows_has_its_own_statistics():
    found = make().for_class("a")
    assert found.status == "known"
    assert found.held_out_accuracy == pytest.approx(0.8)
    assert found.feature_mean.tolist() == [1.0, 2.0]
    assert found.train_loss[10] == pytest.approx(0.35)
    assert found.held_out_loss[10] == pytest.approx(1.5)
    assert (found.train_loss_own, found.held_out_loss_own) == (True, True)


def test_a_class_with_few_held_out_rows_falls_back_to_all_classes_and_says_so():
    card = make()
    found = card.for_class(1)
    assert (found.name, found.status, found.held_out_accuracy) == ("b", "known", None)
    assert not found.held_out_loss_own
    assert torch.equal(found.held_out_loss, card.all_held_out_loss)
    table, own = card.loss_quantiles("held_out")
    assert own.tolist() == [True, False, False]
    assert torch.equal(table[0], card.held_out_loss[0])
    assert torch.equal(table[1], card.all_held_out_loss)


def test_a_class_with_few_training_rows_has_no_mean_and_no_quantiles_of_its_own():
    card = make()
    found = card.for_class("c")
    assert (found.status, found.feature_mean, found.train_loss_own) == ("few_rows", None, False)
    assert torch.equal(found.train_loss, card.all_train_loss)
    means, indices = card.known_means()
    assert indices.tolist() == [0, 1]
    assert means.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_what_the_card_does_not_know_is_refused():
    with pytest.raises(ModelError, match="knows no class 'z'"):
        make().for_class("z")
    with pytest.raises(ModelError, match="knows no class 3"):
        make().for_class(3)
    with pytest.raises(ModelError, match="knows no class 'z'"):
        make().without(["z"])


def test_nothing_of_a_forgotten_class_is_left_but_the_sum_over_all_rows():
    before = make()
    card = before.without(["b"])
    found = card.for_class("b")
    assert found.status == "forgotten"
    assert (found.train_rows, found.held_out_rows, found.feature_mean) == (0, 0, None)
    assert not found.train_loss_own
    for table in (card.feature_means, card.train_loss, card.held_out_loss):
        assert not table[1].any()
    # All classes' quantiles are made anew: those of the only class left that has some.
    assert torch.allclose(card.all_train_loss, before.train_loss[0], atol=2e-3)
    assert card.all_train_loss.max() < 1.0  # the forgotten class's loss is gone
    assert torch.allclose(card.all_held_out_loss, before.held_out_loss[0], atol=1e-2)
    assert all(torch.equal(card.fisher[name], before.fisher[name]) for name in before.fisher)
    assert card.facts.forgotten == ("b",)
    assert card.facts.fisher_holds_forgotten
    assert any("Fisher" in note for note in card.facts.notes)
    assert before.for_class("b").train_rows == 10  # a copy was changed
    assert card.for_class("a").train_loss_own


def test_classes_are_taken_out_one_after_the_other_or_together():
    together = make().without(["a", "b"])
    assert equal(make().without(["b"]).without(["a"]), together)
    assert equal(together.without(["a"]), together)
    assert together.facts.forgotten == ("a", "b")
    assert together.all_train_loss is None  # nobody with enough rows is left
    with pytest.raises(ModelError, match="no loss of training rows"):
        together.loss_quantiles("train")
    assert together.for_class("c").train_loss is None


def test_the_mixture_of_the_remaining_classes_is_near_that_of_their_rows():
    """Against the quantiles of the rows themselves, which the card does not have."""
    drawn = np.random.default_rng(0)
    rows = [drawn.gamma(2.0, 0.1, 400), drawn.gamma(2.0, 0.5, 100), drawn.gamma(2.0, 3.0, 300)]
    counts = torch.tensor([len(one) for one in rows])
    table = torch.stack([losses(one) for one in rows])
    card = TrainingCard(
        classes=("a", "b", "c"),
        facts=facts(),
        train_rows=counts,
        held_out_rows=counts,
        held_out_accuracy=torch.ones(3),
        feature_means=torch.zeros(3, 0),
        train_loss=table,
        held_out_loss=table,
        all_train_loss=losses(np.concatenate(rows)),
        all_held_out_loss=None,
        fisher={},
    )
    found = card.without(["c"])
    expected = losses(np.concatenate(rows[:2]))
    assert torch.allclose(found.all_train_loss[1:-1], expected[1:-1], rtol=0.1, atol=0.01)
    assert not torch.allclose(found.all_train_loss[10], card.all_train_loss[10], rtol=0.05)
    assert not found.facts.fisher_holds_forgotten  # there is none


def test_a_class_that_had_no_rows_changes_no_sum():
    card = make()
    card = TrainingCard(**{**vars(card), "train_rows": torch.tensor([6, 0, 2])})
    found = card.without(["b"])
    assert not found.facts.fisher_holds_forgotten
    assert torch.equal(found.all_train_loss, card.all_train_loss)


def test_forgotten_people_are_noted_since_they_stay_in_the_aggregates():
    card = make().with_forgotten_rows()
    assert card.facts.statistics_hold_forgotten
    assert card.facts.fisher_holds_forgotten
    assert len(card.facts.notes) == 2
    assert torch.equal(card.feature_means, make().feature_means)


def test_a_forgotten_person_s_losses_are_gone_from_the_file_and_the_sums_are_noted(tmp_path):
    before = with_people()
    card = before.with_forgotten_rows(["a" * 64])
    assert card.unseen.fingerprints == ("b" * 64,)
    assert card.facts.curvature_holds_forgotten
    assert any("Kronecker factors" in note for note in card.facts.notes)
    assert any("networks that saw the rows" in note for note in card.facts.notes)
    card.save(tmp_path / "after")
    before.save(tmp_path / "before")
    read = TrainingCard.load(tmp_path / "after")
    assert read.unseen.fingerprints == ("b" * 64,)
    assert (b'\\"people\\": [\\"' + b"a" * 64) not in (tmp_path / "after").read_bytes()
    assert (b'\\"people\\": [\\"' + b"a" * 64) in (tmp_path / "before").read_bytes()
    assert before.with_forgotten_rows().unseen.fingerprints == ("a" * 64, "b" * 64)


def test_a_forgotten_class_is_gone_from_people_s_losses_too():
    card = with_people().without(["b"])
    assert card.unseen.fingerprints == ("a" * 64,)  # the other had no other class
    assert card.unseen.rows.tolist() == [[6, 0, 0]]
    assert card.unseen.loss.max() == card.unseen.all_loss.max() == 1.0
    assert card.facts.curvature_holds_forgotten
    assert torch.equal(card.curvature["head"].outputs, 2 * torch.eye(3))


def test_curvature_and_people_are_read_back_and_counted_but_not_named(tmp_path):
    card = with_people()
    card.save(tmp_path / "one")
    read = TrainingCard.load(tmp_path / "one")
    assert equal(read, card)
    found = read.summary()
    assert (found["curvature_layers"], found["curvature_numbers"]) == (1, 18)
    assert (found["unseen_people"], found["unseen_folds"]) == (2, 2)
    assert "b" * 64 not in str(found)
    other = UnseenPeople((), torch.zeros(0, 2), torch.zeros(0, 2, Q), torch.zeros(0, Q))
    with pytest.raises(ValueError, match="of 2 classes, not 3"):
        TrainingCard(**{**vars(card), "unseen": other})


def test_a_card_of_before_there_were_people_is_read(tmp_path):
    """Its facts do not name the new ones at all."""
    make().save(tmp_path / "new")
    with safe_open(tmp_path / "new", framework="pt") as file:
        known = json.loads(file.metadata()["card"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("curvature_rows", "unseen_folds", "curvature_holds_forgotten"):
        del known["facts"][name]
    save_file(tensors, tmp_path / "old", metadata={"card": json.dumps(known)})
    read = TrainingCard.load(tmp_path / "old")
    assert equal(read, make())
    assert (read.unseen, read.curvature) == (None, {})


@settings(deadline=None, max_examples=50)  # it writes files
@given(data=st.data())
def test_what_is_saved_is_read_back_to_the_bit(tmp_path_factory, data):
    classes = data.draw(st.lists(st.text(max_size=8), max_size=5, unique=True))
    size, count = data.draw(st.integers(0, 4)), len(classes)

    def table(*shape):
        return torch.from_numpy(data.draw(arrays(np.float32, shape, elements=FLOATS)))

    def counts():
        drawn = data.draw(st.lists(st.integers(0, 2**40), min_size=count, max_size=count))
        return torch.tensor(drawn, dtype=torch.int64)

    card = TrainingCard(
        classes=tuple(classes),
        facts=facts(
            seed=data.draw(st.integers(-(2**31), 2**31)),
            dataset=data.draw(st.text(max_size=10)),
            forgotten=tuple(classes[:1]),
            statistics_hold_forgotten=data.draw(st.booleans()),
        ),
        train_rows=counts(),
        held_out_rows=counts(),
        held_out_accuracy=table(count),
        feature_means=table(count, size),
        train_loss=table(count, Q),
        held_out_loss=table(count, Q),
        all_train_loss=data.draw(st.sampled_from([None, torch.zeros(Q)])),
        all_held_out_loss=data.draw(st.sampled_from([None, torch.ones(Q)])),
        fisher={name: table(2, 3) for name in data.draw(st.sets(st.text(max_size=6), max_size=3))},
    )
    folder = tmp_path_factory.mktemp("cards")
    card.save(folder / "one")
    read = TrainingCard.load(folder / "one")
    assert equal(read, card)
    read.save(folder / "two")
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()


def test_a_file_that_is_no_card_is_refused(tmp_path):
    path = tmp_path / FILE_NAME
    path.write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="no training card"):
        TrainingCard.load(path)
    save_file({"train_rows": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="no training card"):
        TrainingCard.load(path)
    make().save(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'\\"form\\": 1', b'\\"form\\": 2'))
    assert path.read_bytes() != content
    with pytest.raises(ModelError, match="its facts"):
        TrainingCard.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("train_rows", torch.zeros(2)), ("held_out_loss", torch.full((3, Q), torch.nan))],
)
def test_tables_that_do_not_fit_or_are_not_finite_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        TrainingCard(**{**vars(make()), field: value})


def test_the_summary_is_json_without_means_or_fisher():
    text = json.dumps(make().summary(), allow_nan=False)
    found = json.loads(text)
    assert [one["status"] for one in found["classes"]] == ["known", "known", "few_rows"]
    assert (found["train_rows"], found["fisher_parameters"]) == (18, 9)
    assert "feature_mean" not in text.replace("feature_size", "")
