import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from lethe.evaluation.calibration import Calibration, CalibrationSums

NONE_OF_THREE = torch.tensor([False, False, False])
FIRST_OF_THREE = torch.tensor([True, False, False])


def calibration(logits, labels, gone) -> Calibration | None:
    sums = CalibrationSums()
    sums.add(logits, torch.as_tensor(labels), gone)
    return sums.result()


def drawn(count: int, width: int, *, seed: int, sure: float = 2.0):
    generator = torch.Generator().manual_seed(seed)
    logits = sure * torch.randn(count, width, generator=generator)
    return logits, torch.randint(width, (count,), generator=generator)


def test_both_errors_by_hand():
    # Four rows answered with the first class at 0.7, three of them right; one at 0.5, wrong.
    p = torch.tensor([[0.7, 0.2, 0.1]] * 4 + [[0.5, 0.25, 0.25]], dtype=torch.float64)
    found = calibration(p.log(), [0, 0, 0, 1, 2], NONE_OF_THREE)
    # Bins of 1/15: 0.7 and 0.5 are in different ones. (4 |3/4 - 0.7| + 1 |0 - 0.5|) / 5
    assert found.ece == pytest.approx((4 * 0.05 + 0.5) / 5)
    # Right: 0.09 + 0.04 + 0.01; label 1: 0.49 + 0.64 + 0.01; label 2: 0.25 + 0.0625 + 0.5625.
    assert found.brier == pytest.approx((3 * 0.14 + 1.14 + 0.875) / 5)
    assert (found.count, found.accuracy) == (5, 3 / 5)
    assert found.confidence == pytest.approx((4 * 0.7 + 0.5) / 5)
    assert found.overconfidence == pytest.approx(0.66 - 0.6)


def test_forgotten_classes_are_left_out_and_the_rest_renormalised():
    # All that the forgotten class holds is set aside: among the others it is 0.8 to 0.2.
    p = torch.tensor([[0.9, 0.08, 0.02], [0.0, 0.8, 0.2]], dtype=torch.float64)
    found = calibration(p.log(), [1, 1], FIRST_OF_THREE)
    assert found.accuracy == 1
    assert found.confidence == pytest.approx(0.8)
    assert found.ece == pytest.approx(0.2)
    assert found.brier == pytest.approx(0.04 + 0.04)


def test_rows_without_a_retained_label_and_broken_rows_are_told():
    logits = torch.zeros(5, 3)
    logits[0] = math.nan
    logits[1, 0] = math.inf  # the forgotten class's logit breaks the whole softmax
    found = calibration(logits, [1, 1, 0, -1, 2], FIRST_OF_THREE)
    assert (found.count, found.left_out, found.broken) == (1, 2, 2)
    assert found.confidence == 0.5
    logits[2:, 0] = -math.inf  # ruling a class out is no harm
    assert calibration(logits, [1, 1, 1, 1, 1], FIRST_OF_THREE).broken == 2


@pytest.mark.parametrize(
    ("labels", "gone"),
    [([], NONE_OF_THREE), ([0, 0], FIRST_OF_THREE), ([0, 1], torch.ones(3, dtype=torch.bool))],
)
def test_without_a_row_to_count_there_is_no_figure(labels, gone):
    assert calibration(torch.zeros(len(labels), 3), torch.tensor(labels).long(), gone) is None


def test_a_network_that_is_wholly_sure_is_in_the_last_bin():
    # Nine rows at 1.0 (in floating point) and one at 0.95, in the bin from 14/15 to 1. Eight of the
    # nine are right, and so is the tenth: |9/10 - (9 + 0.95) / 10|, and no bin for the nine alone.
    logits = torch.tensor([[100.0, 0.0]] * 9 + [[math.log(19), 0.0]])
    found = calibration(logits, [0] * 8 + [1, 0], torch.tensor([False, False]))
    assert found.ece == pytest.approx(0.995 - 0.9, abs=1e-6)


def test_agrees_with_the_multiclass_error_and_with_scikit_learn():
    logits, labels = drawn(500, 6, seed=0)
    found = calibration(logits, labels, torch.zeros(6, dtype=torch.bool))
    p = logits.double().softmax(1)
    whole = multiclass_calibration_error(p, labels, num_classes=6, n_bins=15)
    assert found.ece == pytest.approx(float(whole))
    confidence, right = p.max(1).values.numpy(), (p.argmax(1) == labels).numpy()
    accuracies, confidences = calibration_curve(right, confidence, n_bins=15)
    counts = np.histogram(confidence, bins=np.linspace(0, 1, 16))[0]
    by_bin = counts[counts > 0] / 500 * np.abs(accuracies - confidences)
    assert found.ece == pytest.approx(by_bin.sum())
    brier = brier_score_loss(labels.numpy(), p.numpy(), labels=range(6), scale_by_half=False)
    assert found.brier == pytest.approx(brier)


def test_a_network_that_says_what_it_knows_is_calibrated_and_a_sharper_one_is_not():
    logits, _ = drawn(20_000, 5, seed=1, sure=1.0)
    generator = torch.Generator().manual_seed(2)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    gone = torch.zeros(5, dtype=torch.bool)
    honest, sharper, duller = (calibration(logits * by, labels, gone) for by in (1, 3, 0.3))
    assert honest.ece < 0.02
    assert min(sharper.ece, duller.ece) > 0.1
    assert honest.brier < min(sharper.brier, duller.brier)
    assert duller.overconfidence < -0.1
    assert sharper.overconfidence > 0.1


@given(st.integers(0, 50), st.lists(st.integers(1, 40), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_batches_do_not_matter_and_figures_stay_in_range(seed, sizes):
    logits, labels = drawn(sum(sizes), 4, seed=seed, sure=20.0)
    gone = torch.tensor([False, False, True, False])
    sums = CalibrationSums()
    for batch in zip(logits.split(sizes), labels.split(sizes), strict=True):
        sums.add(*batch, gone)
    found, whole = sums.result(), calibration(logits, labels, gone)
    if whole is None:
        assert found is None
        return
    for name in ("ece", "brier", "confidence", "accuracy"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name))
    assert found.count + found.left_out == sum(sizes)
    assert found.ece >= abs(found.overconfidence) - 1e-9
    assert Calibration.model_validate_json(found.model_dump_json()) == found
