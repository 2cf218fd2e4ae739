"""The bound against known information, and the index with information planted and removed."""

import math
from functools import partial
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.evaluation.shadow import idi as module
from lethe.evaluation.shadow.idi import Idi
from lethe.evaluation.shadow.information import entropy, held_out_losses

COUNT = 240
idi = partial(module.idi, repeats=1)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def forgotten():
    return np.arange(COUNT) % 4 == 0


def layers(rng, forgotten, **shifts):
    """Features of standard deviation one, the first of which is shifted on forgotten rows."""
    found = {}
    for name, shift in shifts.items():
        found[name] = rng.normal(size=(len(forgotten), 4))
        found[name][:, 0] += shift * forgotten
    return found


def bound(features, labels):
    return entropy(labels) - held_out_losses(features, labels, seeds=(0,)).mean()


def information(shift, share):
    """I(Z; Y) in nats for Z normal, shifted with probability `share`, by a fine sum."""
    grid = np.linspace(-8, 8 + shift, 2001)
    one, zero = (np.array([*map(NormalDist(m).pdf, grid)]) for m in (shift, 0))
    mixed = share * one + (1 - share) * zero
    inside = share * one * np.log(one / mixed) + (1 - share) * zero * np.log(zero / mixed)
    return float(inside.sum() * (grid[1] - grid[0]))


def test_entropy_of_known_shares():
    assert entropy(np.array([True, False])) == pytest.approx(math.log(2))
    expected = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert entropy(np.array([True, False, False, False])) == pytest.approx(expected)


def test_the_bound_is_close_to_known_information(rng):
    shift = 1.5
    labels = np.arange(3000) % 4 == 0
    features = rng.normal(size=(3000, 2))
    features[:, 0] += shift * labels
    known = information(shift, 0.25)
    assert 0.9 * known < bound(features, labels) < known + 0.015


def test_information_in_a_curved_boundary_is_found(rng):
    features = rng.normal(size=(1000, 2))
    labels = (features**2).sum(axis=1) > 2 * math.log(2)
    assert bound(features, labels) > 0.6 * math.log(2)


def test_separated_rows_tell_everything_and_noise_nothing(rng, forgotten):
    noise = rng.normal(size=(COUNT, 30))
    assert -0.05 < bound(noise, forgotten) < 0.01
    noise[:, 0] += 30 * forgotten
    assert bound(noise, forgotten) == pytest.approx(entropy(forgotten), abs=0.02)
    assert bound(np.zeros((COUNT, 3)), forgotten) == pytest.approx(0, abs=0.01)


def test_overfitting_finds_nothing(rng):
    """More features than rows: fitted rows would be told apart without exception."""
    labels = np.arange(60) % 2 == 0
    assert bound(rng.normal(size=(60, 100)), labels) < 0.05


def test_a_model_that_forgot_nothing_has_one(rng, forgotten):
    original = layers(rng, forgotten, early=2, late=3)
    retrained = layers(rng, forgotten, early=0, late=0)
    found = idi(original, original, retrained, forgotten, seed=0)
    assert (found.idi, found.low, found.high) == (1, 1, 1)
    assert [layer.layer for layer in found.layers] == ["early", "late"]
    parts = [layer.original - layer.retrained for layer in found.layers]
    assert found.id_original == pytest.approx(sum(parts))
    assert found.layers[0].original == found.layers[0].unlearned
    assert 0.2 < found.layers[0].original < found.layers[1].original < found.label_entropy
    assert (found.rows, found.forget_rows) == (COUNT, 60)


def test_a_model_like_the_retrained_one_has_zero(rng, forgotten):
    original, retrained = layers(rng, forgotten, late=3), layers(rng, forgotten, late=1)
    found = idi(original, layers(rng, forgotten, late=1), retrained, forgotten, seed=0)
    assert found.idi == pytest.approx(0, abs=0.15)
    assert found.low < 0 < found.high


def test_what_is_left_in_one_of_two_layers_is_half(rng, forgotten):
    original = layers(rng, forgotten, early=3, late=3)
    unlearned = layers(rng, forgotten, early=0, late=3)
    retrained = layers(rng, forgotten, early=0, late=0)
    found = idi(original, unlearned, retrained, forgotten, seed=0)
    assert found.idi == pytest.approx(0.5, abs=0.08)
    assert found.low < 0.5 < found.high


def test_less_than_retrained_is_negative_unless_clamped(rng, forgotten):
    original, retrained = layers(rng, forgotten, late=4), layers(rng, forgotten, late=2)
    unlearned = layers(rng, forgotten, late=0)
    found = idi(original, unlearned, retrained, forgotten, seed=0)
    assert found.idi < -0.3
    assert found.high < 0
    clamped = idi(original, unlearned, retrained, forgotten, seed=0, clamp=True)
    assert (clamped.idi, clamped.id_unlearned) == (0, 0)
    assert clamped.id_original == found.id_original
    assert clamped.clamped


@pytest.mark.parametrize("clamp", [False, True])
def test_an_original_no_better_than_retrained_gives_no_figure(rng, forgotten, clamp):
    """There is nothing to forget, and a ratio of noise would look like a figure."""
    models = [layers(rng, forgotten, late=1) for _ in range(3)]
    found = idi(*models, forgotten, seed=0, clamp=clamp)
    assert (found.idi, found.low, found.high) == (None, None, None)
    assert abs(found.id_original) < 3 * found.standard_error


def test_seeds_repeat_and_layers_may_differ_in_width(rng, forgotten):
    forgotten = forgotten[:40]
    original, retrained = layers(rng, forgotten, late=3), layers(rng, forgotten, late=0)
    unlearned = {"late": retrained["late"][:, :2]}
    found = idi(original, unlearned, retrained, forgotten, seed=1)
    assert idi(original, unlearned, retrained, forgotten.astype(int), seed=1) == found
    assert Idi.model_validate_json(found.model_dump_json()) == found
    assert idi(original, unlearned, retrained, forgotten, seed=2) != found


def test_what_cannot_be_compared_is_refused(forgotten):
    good, labels = {"late": np.zeros((COUNT, 2))}, forgotten
    for bad, message in (
        ({"early": good["late"]}, "same layers"),
        ({"late": np.zeros((COUNT - 1, 2))}, r"unlearned late have shape \(239, 2\)"),
        ({"late": np.zeros(COUNT)}, r"expected is \(240, D\)"),
        ({"late": np.full((COUNT, 2), np.nan)}, "unlearned late are not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            idi(good, bad, good, labels, seed=0)
    with pytest.raises(ValueError, match="at least one"):
        idi({}, {}, {}, labels, seed=0)
    with pytest.raises(ValueError, match="4 rows of one kind"):
        idi(good, good, good, np.arange(COUNT) < 4, seed=0)
    with pytest.raises(ValueError, match="one truth value"):
        idi(good, good, good, np.arange(COUNT), seed=0)


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_entropy_is_that_of_a_coin(labels):
    found = entropy(np.array(labels))
    assert -1e-12 <= found <= math.log(2) + 1e-12
    assert found == pytest.approx(entropy(~np.array(labels)))
