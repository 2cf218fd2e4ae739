import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.evaluation.feature_level.cka import layerwise_cka, linear_cka
from lethe.evaluation.feature_level.results import LayerCKA

both = pytest.mark.parametrize("debiased", [False, True])
seeds = st.integers(0, 2**31 - 1)


def features(rows: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) + 3


def rotation(width: int, seed: int) -> torch.Tensor:
    return torch.linalg.qr(features(width, width, seed).double())[0]


def by_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. eq. 3 and 4: HSIC of kernel matrices with an explicit centring matrix."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n

    def hsic(k: np.ndarray, ell: np.ndarray) -> float:
        return np.trace(k @ h @ ell @ h) / (n - 1) ** 2

    k, ell = x @ x.T, y @ y.T
    return hsic(k, ell) / math.sqrt(hsic(k, k) * hsic(ell, ell))


def by_unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al.'s estimator as printed: sums over matrices with zero diagonals."""
    n, ones = len(x), np.ones(len(x))

    def hsic(k: np.ndarray, ell: np.ndarray) -> float:
        k, ell = k - np.diag(np.diag(k)), ell - np.diag(np.diag(ell))
        middle = (ones @ k @ ones) * (ones @ ell @ ones) / ((n - 1) * (n - 2))
        last = 2 / (n - 2) * (ones @ k @ ell @ ones)
        return (np.trace(k @ ell) + middle - last) / (n * (n - 3))

    k, ell = x @ x.T, y @ y.T
    return hsic(k, ell) / math.sqrt(hsic(k, k) * hsic(ell, ell))


def test_a_case_by_hand():
    x = torch.tensor([[1.0, 0], [-1, 0], [0, 2], [0, -2]])  # X'X = diag(2, 8)
    y = torch.tensor([[1.0], [-1], [1], [-1]])  # X'Y = (2, 4), Y'Y = 4
    expected = (4 + 16) / (math.sqrt(4 + 64) * 4)
    assert linear_cka(x, y) == pytest.approx(expected)
    assert linear_cka(x + 5, y - 7) == pytest.approx(expected)


def test_orthogonal_directions_have_nothing_in_common():
    x = torch.tensor([[1.0], [-1], [1], [-1]])
    y = torch.tensor([[1.0], [1], [-1], [-1]])
    assert linear_cka(x, y) == 0


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(5, 30), st.integers(1, 40), st.integers(1, 40))
def test_it_is_the_ratio_of_hsics(seed, rows, one, other):
    x, y = features(rows, one, seed), features(rows, other, seed + 1)
    a, b = x.double().numpy(), y.double().numpy()
    assert linear_cka(x, y) == pytest.approx(by_hsic(a, b), abs=1e-9)
    assert linear_cka(x, y, debiased=True) == pytest.approx(by_unbiased_hsic(a, b), abs=1e-6)


@both
@settings(max_examples=25, deadline=None)
@given(seed=seeds, scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_basis_scale_and_origin_do_not_matter(debiased, seed, scale, shift):
    x, y = features(20, 6, seed).double(), features(20, 9, seed + 1).double()
    plain = linear_cka(x, y, debiased=debiased)
    turned = linear_cka(x @ rotation(6, seed + 2) * scale + shift, y, debiased=debiased)
    swapped = linear_cka(y, x, debiased=debiased)
    assert turned == pytest.approx(plain, abs=1e-7)
    assert swapped == pytest.approx(plain, abs=1e-9)
    assert (-1 if debiased else 0) <= plain <= 1
    itself = linear_cka(x, x @ rotation(6, seed), debiased=debiased)
    assert itself == pytest.approx(1, abs=1e-9)


def test_a_general_linear_map_does_matter():
    x = features(50, 4, 0)
    assert linear_cka(x, x @ torch.diag(torch.tensor([100.0, 1, 1, 1]))) < 0.9


def test_few_rows_bias_it_upwards_and_the_debiased_one_not():
    pairs = [(features(20, 200, seed), features(20, 200, seed + 1000)) for seed in range(20)]
    biased = np.mean([linear_cka(x, y) for x, y in pairs])
    debiased = np.mean([linear_cka(x, y, debiased=True) for x, y in pairs])
    assert biased > 0.8
    assert abs(debiased) < 0.05


@both
def test_features_that_do_not_vary_have_none(debiased):
    x = features(8, 3, 0)
    constant = torch.full((8, 3), 0.1)
    assert linear_cka(x, constant, debiased=debiased) is None
    assert linear_cka(constant, x, debiased=debiased) is None
    rounding = constant + torch.tensor([[0.0], [1e-8]] * 4)
    assert linear_cka(x, rounding, debiased=debiased) is None
    for broken in (math.nan, math.inf):
        wrong = x.clone()
        wrong[2, 1] = broken
        assert linear_cka(x, wrong, debiased=debiased) is None


def test_too_few_rows_have_none():
    x = features(3, 2, 0)
    assert linear_cka(x[:1], x[:1]) is None
    assert linear_cka(x, x) == pytest.approx(1)
    assert linear_cka(x, x, debiased=True) is None
    # Rows that are all equally far apart leave nothing after debiasing.
    assert linear_cka(torch.eye(6), torch.eye(6), debiased=True) is None


def test_different_rows_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        linear_cka(features(4, 2, 0), features(5, 2, 0))


def test_a_head_only_edit_leaves_every_layer_as_it_was(captured):
    original = captured["original"][0].by_layer
    for found in layerwise_cka(original, captured["head_only"][0].by_layer):
        assert found.cka == pytest.approx(1, abs=1e-6)
        assert found.debiased == pytest.approx(1, abs=1e-6)


def test_another_network_has_other_features(captured):
    original = captured["original"][0].by_layer
    retrained, fresh = (
        layerwise_cka(original, captured[name][0].by_layer) for name in ("retrained", "fresh")
    )
    assert [found.layer for found in fresh] == ["conv1", "conv2", "feature", "features"]
    assert fresh[-1].cka < retrained[-1].cka < 0.95
    assert LayerCKA.model_validate_json(fresh[0].model_dump_json()) == fresh[0]
