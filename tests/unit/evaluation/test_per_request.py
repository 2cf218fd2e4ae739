"""One figure per request, from networks whose answers are written down."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_answers import CPU, Table, answering, rows
from torch import nn

from lethe.data.attribution import Owners
from lethe.errors import ModelError
from lethe.evaluation.per_request import Recognition, per_owner, recognised
from lethe.evaluation.results import Accuracy

QUICK = settings(max_examples=40, deadline=None)
A, B, C = range(3)


def recognise(answers, labels, *, forgotten=(), width=3, **options):
    network = answers if isinstance(answers, nn.Module) else answering(answers, width=width)
    given_rows = rows(list(range(len(labels))), labels)
    return recognised(network, given_rows, device=CPU, forgotten=forgotten, **options)


def owned(pairs, *, count, of_rows):
    found = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return Owners(found[:, 0], found[:, 1], rows=of_rows, selections=count)


def test_a_row_is_recognised_by_its_own_label():
    found = recognise([A, B, C, A], [A, B, A, B])
    assert found.right.tolist() == [True, True, False, False]
    assert found.accuracy() == Accuracy.of(2, 4)


def test_a_forgotten_class_is_recognised_by_any_forgotten_class():
    swapped = recognise([B, A, C, A], [A, B, A, C], forgotten=(A, B))
    assert swapped.right.tolist() == [True, True, False, False]
    assert recognise([B, A], [A, B]).right.tolist() == [False, False]


def test_labels_that_the_network_does_not_know_are_left_out():
    found = recognise([A, A, C], [A, -1, -1], forgotten=(C,))
    assert (found.right.tolist(), found.known.tolist()) == ([True, False, False], [1, 0, 0])
    assert found.accuracy() == Accuracy.of(1, 1)
    mine = owned([(0, 0), (1, 0), (1, 1), (2, 1)], count=3, of_rows=3)
    assert per_owner(found, mine, 3) == [Accuracy.of(1, 1), None, None]


def test_broken_outputs_are_not_recognised_and_counted():
    logits = torch.zeros(3, 2)
    logits[0, 0] = math.nan
    logits[1, 0] = math.inf
    logits[2, 1] = -math.inf
    found = recognise(Table(logits), [A, A, A], width=2)
    assert found.right.tolist() == [False, False, True]
    assert found.broken == 2


def test_rows_are_streamed_and_reported():
    told = []
    found = recognise([A] * 1300, [A] * 1300, progress=lambda *step: told.append(step))
    assert told == [(512, 1300), (1024, 1300), (1300, 1300)]
    assert len(found.right) == found.accuracy().correct == 1300


@pytest.mark.parametrize(("labels", "forgotten"), [([0, 3], ()), ([0, 0], (3,))])
def test_a_network_too_narrow_for_the_classes_is_refused(labels, forgotten):
    with pytest.raises(ModelError, match="3 logits"):
        recognise([A, A], labels, forgotten=forgotten)


@QUICK
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12),
    st.integers(0, 6),
    st.sets(st.tuples(st.integers(0, 11), st.integers(0, 5))),
)
def test_counts_are_those_of_counting_one_by_one(answers, count, pairs):
    pairs = {(row, owner) for row, owner in pairs if row < len(answers) and owner < count}
    right = torch.tensor([a and b for a, b in answers], dtype=torch.bool)
    known = torch.tensor([b for _, b in answers], dtype=torch.bool)
    found = per_owner(
        Recognition(right, known, 0), owned(pairs, count=count, of_rows=len(answers)), count
    )
    assert len(found) == count
    for owner, accuracy in enumerate(found):
        mine = [row for row, whose in pairs if whose == owner and known[row]]
        assert accuracy == Accuracy.of(sum(bool(right[row]) for row in mine), len(mine))


def test_figures_of_other_rows_are_refused():
    found = recognise([A, A], [A, A])
    with pytest.raises(ValueError, match="2 rows and 1 owners"):
        per_owner(found, owned([(0, 0)], count=1, of_rows=3), 1)
    with pytest.raises(ValueError, match="2 rows and 2 owners"):
        per_owner(found, owned([(0, 0)], count=1, of_rows=2), 2)
