"""What is kept of people who were never seen, handed out and taken out."""

import numpy as np
import pytest
import torch

from lethe.data.card_facts import LEVELS
from lethe.data.mixture import mixture
from lethe.data.unseen_people import UnseenPeople, person_tables

Q = len(LEVELS)


def people_of(**known):
    """From (losses, labels) by fingerprint; three classes."""
    tables = {
        name: person_tables(torch.tensor(losses), torch.tensor(labels), 3)
        for name, (losses, labels) in known.items()
    }
    names = sorted(tables)
    return UnseenPeople(
        tuple(names), *(torch.stack([tables[n][part] for n in names]) for part in range(3))
    )


def two():
    return people_of(
        ann=([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 50], [0] * 5 + [1] * 5 + [2]),
        bob=([100.0] * 6 + [20.0] * 5, [0] * 6 + [2] * 5),
    )


def test_a_person_s_table_holds_the_quantiles_of_their_own_losses():
    table, own, found = two().quantiles(["ann"])
    assert found == 1
    assert own.tolist() == [True, True, False]
    for label, values in ((0, [1, 2, 3, 4, 5]), (1, [6, 7, 8, 9, 10])):
        expected = torch.tensor(np.quantile(values, LEVELS), dtype=torch.float32)
        assert torch.allclose(table[label], expected, atol=0.02)
    # One row of class 2 is not kept by itself: all the person's rows stand in.
    assert table[2][10] == pytest.approx(6.0, abs=0.1)
    assert two().loss[0, 2].abs().sum() == 0


def test_of_several_people_the_quantiles_are_those_of_their_rows_together():
    table, own, found = two().quantiles(["bob", "ann"])
    assert (found, own.tolist()) == (2, [True, True, True])
    rows = [1, 2, 3, 4, 5] + [100] * 6
    assert table[0][10] == pytest.approx(float(np.quantile(rows, 0.5)))
    assert (table[0][0], table[0][-1]) == (1, 100)
    assert torch.allclose(table[2], torch.full((Q,), 20.0))  # bob's alone


def test_everybody_stands_in_for_whoever_is_not_listed():
    table, _, found = two().quantiles(["cy"])
    assert found == 0
    assert torch.equal(table, two().quantiles(["ann", "bob"])[0])
    assert two().quantiles(["ann", "cy"])[2] == 1
    nobody = two().without(["ann", "bob"])
    with pytest.raises(ValueError, match="nobody"):
        nobody.quantiles()


def test_nothing_of_a_person_who_was_taken_out_is_left():
    left = two().without(["ann"])
    assert left.fingerprints == ("bob",)
    assert (left.rows.shape, left.loss.shape, left.all_loss.shape) == ((1, 3), (1, 3, Q), (1, Q))
    assert left.rows.tolist() == [[6, 0, 5]]
    assert left.loss.max() == 100
    assert torch.equal(left.quantiles(["ann"])[0], left.quantiles(["bob"])[0])
    assert two().without(["cy"]).fingerprints == ("ann", "bob")


def test_nothing_of_a_class_that_was_taken_out_is_left():
    left = two().without_classes(torch.tensor([True, False, False]))
    assert left.rows[:, 0].sum() == 0
    assert left.loss[:, 0].abs().sum() == 0
    assert left.all_loss[0].max() == 10  # of class 1 alone, made anew
    assert torch.allclose(left.all_loss[1], torch.full((Q,), 20.0))
    gone = two().without_classes(torch.tensor([True, True, False]))
    assert gone.fingerprints == ("bob",)  # ann has no class left with enough rows


def test_too_few_rows_make_no_table():
    assert person_tables(torch.zeros(4), torch.zeros(4, dtype=torch.long), 3) is None


def test_a_mixture_weighs_by_rows():
    low, high = torch.zeros(Q), torch.ones(Q)
    assert mixture(torch.stack([low, high]), torch.tensor([3, 1])).sum() == pytest.approx(5)
    assert mixture(low[None], torch.tensor([7])).tolist() == low.tolist()


def test_tables_that_do_not_fit_are_refused():
    known = two()
    with pytest.raises(ValueError, match="shapes"):
        UnseenPeople(("ann",), known.rows, known.loss, known.all_loss)
    with pytest.raises(ValueError, match="sorted"):
        UnseenPeople(("bob", "ann"), known.rows, known.loss, known.all_loss)
    with pytest.raises(ValueError, match="finite"):
        UnseenPeople(known.fingerprints, known.rows, known.loss * torch.inf, known.all_loss)
