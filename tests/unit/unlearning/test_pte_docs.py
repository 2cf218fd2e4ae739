"""What docs/methods/pte.md and docs/evaluation.md show meets its bars with the defaults."""

import json
from pathlib import Path

from lethe.unlearning.pte import PTE

ROOT = Path(__file__).resolve().parents[3]


def test_no_control_was_judged_wrongly():
    for name in ("cwru", "watch", "fashion_mnist"):
        path = ROOT / "benchmarks" / "results" / f"negative_controls_{name}.json"
        result = json.loads(path.read_text(encoding="utf-8"))
        assert (result["wrong"], result["seeds"]) == (0, 3)


def test_measuring_without_retained_rows_costs_less_than_the_edit():
    path = ROOT / "benchmarks" / "results" / "evaluation_cost_cwru.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["summary"]["forget_only_ratio_mean"] <= result["bar"]


def test_the_bars_were_met_with_the_defaults():
    for name in ("digits", "cwru"):
        path = ROOT / "benchmarks" / "results" / f"class_forgetting_{name}.json"
        result = json.loads(path.read_text(encoding="utf-8"))
        assert result["missed"] == {}
        assert result["options"] == PTE().model_dump(mode="json")
