"""What the terminal shows of gates and hidden layers."""

import pytest

from cli.summary import print_readings, verdict_words
from cli.verdict_tables import gates_table, readings_table, readings_title
from lethe.evaluation.feature_level.readings import FeatureLevel, Reading
from lethe.evaluation.gate import fail, judge, undecided
from lethe.evaluation.results import Accuracy, Evaluation, Partition
from lethe.evaluation.verdict import Decision, Verdict


def level(reference="fresh") -> FeatureLevel:
    return FeatureLevel(
        reference=reference,
        readings=(
            Reading(name="relearn", needs="labelled_rows", original=0.9, successor=0.5, fresh=0.3),
            Reading(
                name="linear_probe_2", needs="labelled_rows", original=0.9, successor=0.2, fresh=0.4
            ),
            Reading(name="likeness", needs="forget_rows", original=1, successor=0.9, fresh=0.99),
        ),
    )


def evaluation(features=None) -> Evaluation:
    part = Partition(forget_train=Accuracy.of(0, 9))
    return Evaluation(
        classes=("a", "b"), forgotten=(0,), before=part, after=part, features=features
    )


def test_readings_have_values_and_a_position_or_cannot_tell():
    assert readings_table(level()) == (
        ["hidden layers", "before", "after", "fresh", "position"],
        [
            ["relearn", "0.90", "0.50", "0.30", "0.33"],
            ["linear_probe_2", "90 %", "20 %", "40 %", "\N{MINUS SIGN}0.40"],
            ["likeness", "1.00", "0.90", "0.99", "cannot tell"],
        ],
    )
    assert readings_title(level()) == "Position: 0 is a fresh network, 1 is before"


def test_without_a_reference_there_is_no_column_of_one():
    columns, rows = readings_table(level(reference=None))
    assert columns == ["hidden layers", "before", "after", "position"]
    assert all(len(row) == 4 for row in rows)
    assert "nothing to measure" in readings_title(level(reference=None))


def test_gates_say_what_was_measured_required_and_found():
    gates = (
        judge("remembered", 0.4, 0.5, "w"),
        judge("agreement", 0.9, 0.95, "w", ">="),
        judge("retained_loss", -0.002, 0.02, "w"),
        judge("forget_accuracy_train", 0.9, 0.01, "w").model_copy(update={"passed": None}),
        undecided("class_loss", 0.1, "w"),
        fail("forget_accuracy_held_out", 0.01, "w"),
        judge("own", 0.1, 0.2, "w"),
    )
    decision = Decision(
        verdict=Verdict.REFUSED, rule="gate_failed", reason="r", gates=gates, not_covered=("x",)
    )
    assert [row[1:] for row in gates_table(decision)[1]] == [
        ["0.40", "≤ 0.50", "passed"],
        ["90.0 %", "≥ 95.0 %", "failed"],
        ["\N{MINUS SIGN}0.2 points", "≤ 2.0 points", "passed"],
        ["90.0 %", "≤ 1.0 %", "not judged"],
        ["", "≤ 10.0 points", "not measured"],
        ["", "≤ 1.0 %", "failed"],
        ["10.0 %", "≤ 20.0 %", "passed"],
    ]
    assert gates_table(decision)[1][0][0] == "Rows are like rows never seen"


@pytest.mark.parametrize("features", [None, FeatureLevel(reference="fresh")])
def test_nothing_is_printed_of_hidden_layers_that_were_not_measured(capsys, features):
    print_readings(evaluation(features))
    assert capsys.readouterr().out == ""


def test_readings_fit_a_terminal_of_eighty_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_readings(evaluation(level()))
    printed = capsys.readouterr().out
    assert "linear_probe_2" in printed
    assert "cannot tell" in printed
    assert all(len(line) <= 80 for line in printed.splitlines())


def test_brackets_in_a_reason_are_text():
    assert r"\[red]" in verdict_words("suppressed", "[red] it")


def test_json_holds_the_positions():
    figures = evaluation(level()).figures()
    assert figures["features.relearn.position"] == pytest.approx(1 / 3)
    assert "features.likeness.position" not in figures
