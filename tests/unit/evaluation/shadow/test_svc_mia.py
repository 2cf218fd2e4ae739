"""Which way the attack's share points, and what it says when there is nothing to tell apart."""

import math

import numpy as np
import pytest

from lethe.evaluation.shadow.svc_mia import SvcMia, svc_mia


def around(rng, centre, count=100):
    return rng.normal(centre, 0.02, size=count).clip(0, 1)


def test_rows_like_held_out_ones_count_for_forgetting():
    rng = np.random.default_rng(0)
    members, others = around(rng, 0.9), around(rng, 0.3)
    for centre, expected in ((0.3, 1), (0.9, 0)):
        found = svc_mia(members, others, around(rng, centre), seed=0)
        assert (found.efficacy, found.attack_accuracy) == (expected, 1)
    half = svc_mia(members, others, [*around(rng, 0.3, 30), *around(rng, 0.9, 10)], seed=0)
    assert half.efficacy == 0.75
    assert half.forget_rows == 40


def test_curved_boundaries_are_found():
    """Non-members on both sides of the members: one threshold would not do."""
    rng = np.random.default_rng(0)
    others = np.concatenate([around(rng, 0.0, 50), around(rng, 1.0, 50)])
    found = svc_mia(around(rng, 0.5), others, [0.0, 0.5, 0.5, 1.0], seed=0)
    assert found.efficacy == 0.5
    assert found.attack_accuracy == 1


def test_an_attack_that_cannot_tell_says_so():
    rng = np.random.default_rng(0)
    found = svc_mia(*rng.random((3, 200)), seed=0)
    assert found.attack_accuracy < 0.6


def test_both_sides_have_as_many_rows():
    rng = np.random.default_rng(0)
    members, others, forget = around(rng, 0.9, 500), around(rng, 0.85, 50), around(rng, 0.5)
    found = svc_mia(members, others, forget, seed=0)
    assert found.rows_per_side == 50
    assert svc_mia(members, others, forget, seed=0) == found
    assert svc_mia(members, members, forget, seed=0, max_rows=20).rows_per_side == 20
    assert SvcMia.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("bad", [[], [1.5], [-0.1], [math.nan], [[0.5]]])
def test_what_is_no_probability_is_refused(bad):
    good = [0.1, 0.9]
    for name, rows in (
        ("retained", (bad, good, good)),
        ("held-out", (good, bad, good)),
        ("forget", (good, good, bad)),
    ):
        with pytest.raises(ValueError, match=f"The {name} rows"):
            svc_mia(*rows, seed=0)
