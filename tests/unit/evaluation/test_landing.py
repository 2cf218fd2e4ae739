import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from lethe.evaluation.landing import Landing, LandingSums, jensen_shannon, total_variation

NAMES = ("plane", "ship", "bird", "truck", "cat")
PLANE = torch.tensor([True, False, False, False, False])
# Uneven and not on one class, much as a retrained CIFAR-10 network sends planes.
USUAL = torch.tensor([0.0, 0.42, 0.37, 0.12, 0.09])

weights = arrays(np.float64, 5, elements=st.integers(0, 20).map(float))
distributions = weights.filter(lambda found: found.sum() > 0).map(lambda found: found / found.sum())


def landing(successor, reference=None, gone=PLANE, names=NAMES) -> Landing | None:
    sums = LandingSums()
    sums.add(successor, gone, reference=reference)
    return sums.result(names, gone)


def sent(shares: torch.Tensor, *, seed: int, count: int = 2000) -> torch.Tensor:
    """Logits of rows that are sent to classes in these shares, each surely."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.multinomial(shares, count, replacement=True, generator=generator)
    return 6 * torch.nn.functional.one_hot(classes, len(shares)).float()


def test_shares_and_probabilities_by_hand():
    # The plane's own probability is set aside, even where it is the largest.
    p = torch.tensor([[0.6, 0.2, 0.1, 0.1, 0.0], [0.0, 0.1, 0.6, 0.2, 0.1]], dtype=torch.float64)
    found = landing(p.log())
    assert found.classes == NAMES[1:]
    assert found.count == 2
    assert found.successor.shares == (0.5, 0.5, 0, 0)
    # Row 0 over 0.4: 0.5, 0.25, 0.25, 0. Mean with row 1.
    assert found.successor.probabilities == pytest.approx((0.3, 0.425, 0.225, 0.05))
    largest = [(flow.label, flow.share) for flow in found.successor.largest]
    assert largest == [("bird", 0.5), ("ship", 0.5), ("truck", 0.0)]
    assert found.successor.largest[0].probability == pytest.approx(0.425)
    assert found.reference is None
    assert found.gap is None


def test_distances_by_hand():
    # Means (1/2, 1/2) and (1, 0); rows (0, 1) and (1, 0) against (1, 0) twice.
    gone, names = torch.tensor([True, False, False]), ("a", "b", "c")
    successor = torch.tensor([[0.0, 0, -math.inf], [0.0, -math.inf, 0]])
    reference = torch.tensor([[0.0, 0, -math.inf], [0.0, 0, -math.inf]])
    gap = landing(successor, reference, gone, names).gap
    assert (gap.total_variation, gap.row_variation, gap.answers) == (0.5, 0.5, 0.5)
    # Middle (3/4, 1/4): 1/2 [1/2 log2(2/3) + 1/2 log2 2] + 1/2 log2(4/3)
    divergence = 0.5 * (0.5 * math.log2(2 / 3) + 0.5) + 0.5 * math.log2(4 / 3)
    assert gap.jensen_shannon == pytest.approx(math.sqrt(divergence))


def test_uniform_and_single_label_targets_are_told_from_a_retrained_network():
    reference = sent(USUAL, seed=0)
    like = landing(sent(USUAL, seed=1), reference).gap
    uniform = landing(torch.zeros(2000, 5), reference).gap
    nearest = landing(sent(torch.eye(5)[1], seed=0), reference).gap
    assert max(like.total_variation, like.jensen_shannon) < 0.05
    for gap in (uniform, nearest):
        assert min(gap.total_variation, gap.jensen_shannon) > 0.2


def test_a_successor_that_gives_every_row_the_average_is_seen_row_by_row():
    reference = sent(USUAL, seed=0)
    average = reference[:, 1:].softmax(1).mean(0).log()
    averaged = torch.cat([torch.zeros(1), average]).expand(2000, 5)
    gap = landing(averaged, reference).gap
    assert gap.total_variation < 0.01
    assert gap.row_variation > 0.4
    assert gap.answers > 0.4


def test_rows_broken_in_either_network_are_left_out_of_both_and_told():
    successor, reference = torch.zeros(4, 5), torch.zeros(4, 5)
    successor[0, 2], reference[1, 3], successor[2, 0] = math.nan, math.inf, -math.inf
    successor[3, 1] = reference[3, 2] = 50.0
    found = landing(successor, reference)
    assert (found.count, found.broken) == (2, 2)
    # Row 2 is uniform in both (the plane ruled out is no harm), row 3 differs wholly.
    assert found.gap.row_variation == pytest.approx(0.5)
    assert found.successor.probabilities == pytest.approx((0.625, 0.125, 0.125, 0.125))


def test_without_forgotten_classes_rows_or_retained_classes_there_is_no_landing():
    assert landing(torch.zeros(3, 5), gone=torch.zeros(5, dtype=torch.bool)) is None
    assert landing(torch.zeros(3, 5), gone=torch.ones(5, dtype=torch.bool)) is None
    assert landing(torch.zeros(0, 5)) is None
    assert landing(torch.full((3, 5), math.nan)) is None


def test_a_reference_comes_with_every_batch_or_with_none():
    sums = LandingSums()
    sums.add(torch.zeros(3, 5), PLANE)
    with pytest.raises(ValueError, match="some batches only"):
        sums.add(torch.zeros(3, 5), PLANE, reference=torch.zeros(3, 5))
    assert sums.count == 3


@given(distributions, distributions)
@settings(max_examples=100, deadline=None)
def test_distances_are_between_zero_and_one_and_zero_for_equals_only(p, q):
    for metric in (total_variation, jensen_shannon):
        assert 0 <= metric(p, q) <= 1
        assert metric(p, q) == pytest.approx(metric(q, p))
        assert metric(p, p) == 0
        assert (metric(p, q) > 1e-7) == (not np.allclose(p, q, rtol=0, atol=1e-9))
    # Independently: the middle's entropy minus the mean entropy.
    divergence = entropy((p + q) / 2, base=2) - (entropy(p, base=2) + entropy(q, base=2)) / 2
    assert jensen_shannon(p, q) ** 2 == pytest.approx(divergence, abs=1e-9)
    assert total_variation(p, q) == pytest.approx(np.maximum(p - q, 0).sum())


@given(st.integers(0, 100), st.lists(st.integers(1, 20), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_batches_do_not_matter_and_rows_vary_at_least_as_much_as_their_mean(seed, sizes):
    generator = torch.Generator().manual_seed(seed)
    successor, reference = 5 * torch.randn(2, sum(sizes), 5, generator=generator)
    sums = LandingSums()
    for one, other in zip(successor.split(sizes), reference.split(sizes), strict=True):
        sums.add(one, PLANE, reference=other)
    found, whole = sums.result(NAMES, PLANE), landing(successor, reference)
    assert found.successor.shares == whole.successor.shares
    assert found.reference.probabilities == pytest.approx(whole.reference.probabilities)
    for name in type(found.gap).model_fields:
        assert getattr(found.gap, name) == pytest.approx(getattr(whole.gap, name))
    assert found.gap.row_variation >= found.gap.total_variation - 1e-9
    assert sum(found.successor.shares) == pytest.approx(1)
    assert sum(found.successor.probabilities) == pytest.approx(1)
    assert Landing.model_validate_json(found.model_dump_json()) == found


def test_a_network_has_no_distance_to_itself():
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    assert set(dict(landing(logits, logits).gap).values()) == {0.0}


def test_results_can_be_named_without_loading_torch():
    script = (
        "import sys, lethe.evaluation.membership, lethe.evaluation.calibration\n"
        "import lethe.evaluation.landing\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'sklearn', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
