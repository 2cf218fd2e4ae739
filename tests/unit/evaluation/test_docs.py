"""docs/evaluation.md says what the code does."""

import re
from pathlib import Path
from typing import get_args

import torch
from known_answers import answering, rows

from lethe.audit.statement import PREDICATE_TYPE
from lethe.evaluation.gates import (
    MIN_CLASS_ROWS,
    EarlierSet,
    GateThresholds,
    check_gates,
    worst_relapse,
)
from lethe.evaluation.output_level import Part, evaluate
from lethe.evaluation.report import GATES
from lethe.evaluation.results import Accuracy
from lethe.evaluation.verdict import Rule, Verdict, decide

TEXT = Path(__file__).parents[3].joinpath("docs/evaluation.md").read_text(encoding="utf-8")


def table(first: str) -> list[list[str]]:
    """Cells of the table whose head starts with a word."""
    body = TEXT.split(f"| {first} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in body]


def test_every_part_and_rule_is_explained():
    assert [line[0] for line in table("part")] == [part.value for part in Part]
    assert {line[0] for line in table("rule")} == set(get_args(Rule))
    assert {line[2] for line in table("rule")} == {verdict.value for verdict in Verdict}


def test_every_gate_is_explained_with_its_setting_and_default():
    documented = {line[0]: line for line in table("gate")}
    both = {Part.FORGET_TRAIN: rows([0, 1], [0, 1]), Part.RETAINED_HELD_OUT: rows([2], [2])}
    network = answering([2, 2, 2], width=3)
    evaluation = evaluate(
        network, network, both, classes="abc", forgotten=[0, 1], device=torch.device("cpu")
    )
    again = EarlierSet(before=Accuracy.of(0, 9), after=Accuracy.of(0, 9), whole_classes=True)
    classes = [
        *check_gates(evaluation, GateThresholds()),
        worst_relapse([again], GateThresholds()),
    ]
    single = evaluate(
        network, network, both, classes="abc", forgotten=[], device=torch.device("cpu")
    )
    gates = {gate.name: gate for gate in [*check_gates(single, GateThresholds()), *classes]}
    assert set(gates) == set(documented)
    assert set(documented) == set(GATES)
    for gate in gates.values():
        setting, default = documented[gate.name][2:]
        assert float(default) == gate.threshold
        if setting != "none":
            field = setting.removeprefix("gates.")
            assert getattr(GateThresholds(), field) == gate.threshold


def test_figures_are_named_as_in_the_code():
    both = {Part.FORGET_TRAIN: rows([0], [0]), Part.RETAINED_HELD_OUT: rows([1], [1])}
    network = answering([1, 1], width=2)
    evaluation = evaluate(
        network, network, both, classes="ab", forgotten=[0], device=torch.device("cpu")
    )
    documented = " ".join(line[0] for line in table("figure"))
    for name in evaluation.figures():
        section, _, figure = name.partition(".")
        known = "accuracy" if section in ("before", "after") else f"{section}.{figure}"
        known = re.sub(r"\.(before|after|reference)\.(auc|ece)$", r".*.\2", known)
        known = re.sub(r"^calibration.*brier$", "brier", known)
        assert known in documented or re.sub(r"_(before|after)$", "_*", known) in documented
    assert f"at least {MIN_CLASS_ROWS} held-out rows" in TEXT
    assert PREDICATE_TYPE in TEXT


def test_the_example_runs():
    code = TEXT.rsplit("```python\n", 1)[1].split("```", 1)[0]
    network = answering([1], width=2)
    scope = {
        "parent": network,
        "successor": network,
        "rows": rows([0], [0]),
        "names": ("a", "b", "c", "d")[:2],
        "device": torch.device("cpu"),
    }
    exec(code.replace("forgotten=[3]", "forgotten=[0]"), scope)  # noqa: S102 (our own page)
    assert scope["decision"] == decide(scope["evaluation"], GateThresholds(max_forget_accuracy=0))
