"""One cell, against figures worked out by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lethe.data.rows import TensorRows
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.results import Part
from tasks.benchmark.cell import Case, Reference, Way, find_method, measure

ROOT = Path(__file__).parents[4]


def answers(table):
    """A network that answers class table[i] where input i is largest: inputs and logits (B, 3)."""
    layer = nn.Linear(3, 3)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        for place, answer in enumerate(table):
            layer.weight[answer, place] = 5.0
    return nn.Sequential(layer).eval()


def rows(*labels, wrong=0):
    """A row for each label, the first `wrong` of which look like the class after their own."""
    y = torch.tensor(labels)
    looks = y.clone()
    looks[:wrong] = (looks[:wrong] + 1) % 3
    return TensorRows(torch.eye(3)[looks] + 0.01 * torch.rand(len(y), 3), y)


@pytest.fixture
def case():
    """Class 0 of three is forgotten. The original is right but where a row looks wrong."""
    torch.manual_seed(0)
    return Case(
        data="tiny",
        kind="class",
        target="a",
        forgotten=(0,),
        seed=0,
        classes=("a", "b", "c"),
        parts={
            Part.FORGET_TRAIN: rows(*[0] * 20),
            Part.FORGET_HELD_OUT: rows(*[0] * 10, wrong=1),
            Part.RETAINED_TRAIN: rows(*[1] * 10, *[2] * 10),
            Part.RETAINED_HELD_OUT: rows(*[1] * 10, *[2] * 10, wrong=2),
        },
        original=answers([0, 1, 2]),
        retrained=Reference(answers([1, 1, 2]), seconds=4.0, cpu_seconds=2.0),
        retrained_again=lambda: Reference(answers([1, 2, 2]), seconds=5.0, cpu_seconds=3.0),
    )


def test_a_cells_figures_are_those_worked_out_by_hand(case):
    """The second retraining answers class 2 for all of class 1: half of the retained rows.

    Held-out, two of class 1 look like class 2: the original and the reference are right on 18 of
    20, the second one on class 2 alone, 10 of 20.
    """
    row = measure(case, Way("retrain"), GateThresholds(), feature_level=False)
    assert (row.before_forget_train, row.before_forget_held_out) == (1.0, 0.9)
    assert (row.before_retained_train, row.before_retained_held_out) == (1.0, 0.9)
    assert (row.retrained_forget_train, row.retrained_retained_train) == (0.0, 1.0)
    assert (row.after_forget_train, row.after_retained_train) == (0.0, 0.5)
    assert row.after_retained_held_out == 0.5
    assert row.gap_retained_train == -0.5
    assert row.gap == pytest.approx((0 + 0.5 + 0.4) / 3)
    assert row.retained_loss == pytest.approx(0.4)
    assert (row.worst_class, row.worst_class_loss) == ("b", pytest.approx(0.8))
    assert (row.time_ratio, row.cpu_ratio) == (1.25, 1.5)
    assert (row.needs, row.verdict, row.rule) == ("retain", "refused", "gate_failed")
    assert {"retained_loss", "class_loss"} <= set(row.failed_gates.split(","))


def test_a_real_method_forgets_and_its_settings_stand_in_the_row(case):
    row = measure(case, Way("gradient_ascent", {"learning_rate": 0.05}), GateThresholds())
    assert row.failed is None
    assert json.loads(row.options)["learning_rate"] == 0.05
    assert row.after_forget_train < row.before_forget_train
    assert row.seconds > 0
    assert row.cpu_ratio == pytest.approx(row.cpu_seconds / 2.0)
    assert row.verdict in {"suppressed", "erased", "refused"}


def test_the_given_networks_stay_as_they_are(case):
    before = [w.clone() for w in case.original.parameters()]
    measure(case, Way("gradient_ascent"), GateThresholds(), feature_level=False)
    assert all(torch.equal(a, b) for a, b in zip(before, case.original.parameters(), strict=True))


def test_the_same_cell_gives_the_same_figures(case):
    first, second = (measure(case, Way("delete"), GateThresholds()) for _ in range(2))
    names = ("after_forget_train", "after_retained_held_out", "gap", "verdict", "epochs")
    assert [getattr(first, n) for n in names] == [getattr(second, n) for n in names]


def test_what_a_method_says_it_cannot_do_is_a_result(case):
    """Without its card SSD cannot begin; the message stands in the row, and no figure."""
    row = measure(case, Way("ssd"), GateThresholds(), feature_level=False)
    assert "training card" in row.failed
    assert (row.gap, row.verdict, row.needs) == (None, None, "stored_statistics")


def test_any_other_error_is_raised(case):
    broken = Case(**{**case.__dict__, "retrained": Reference(nn.Linear(1, 1), 1.0, 1.0)})
    with pytest.raises(RuntimeError):
        measure(broken, Way("delete"), GateThresholds(), feature_level=False)


def test_a_search_makes_its_trials_and_its_options_are_used(case):
    row = measure(case, Way("delete", budget=3), GateThresholds(), feature_level=False)
    assert (row.budget, row.failed) == (3, None)
    assert row.trials == 3
    assert row.search_seconds > 0


def test_where_nothing_is_installed_methods_are_found_by_module(monkeypatch):
    monkeypatch.setattr("tasks.benchmark.cell.method_names", list)
    assert find_method("pte", {"epochs": 3}).epochs == 3
    assert find_method("boundary_shrink").name == "boundary_shrink"


def test_a_cell_needs_neither_prefect_nor_mlflow_nor_arrow():
    """It runs on machines where only PyTorch and a few others are."""
    program = (
        "import sys; import tasks.benchmark.cell; heavy = 'prefect mlflow pyarrow dvc matplotlib'; "
        "print([name for name in heavy.split() if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_a_network_under_a_patch_is_never_called_erased(case):
    """PRUNE blocks rows and leaves the network below as it is."""
    row = measure(case, Way("prune", {"reach": "everywhere"}), GateThresholds())
    assert row.failed is None
    assert row.verdict in {"suppressed", "refused"}
    assert row.rule in {"patched", "gate_failed"}
