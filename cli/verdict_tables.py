"""What the terminal shows of a verdict: gates, and readings of hidden layers with positions."""

from lethe.evaluation.feature_level.readings import FeatureLevel
from lethe.evaluation.report_format import gate_figure
from lethe.evaluation.verdict import Decision
from lethe.evaluation.wording import (
    GATES,
    NETWORKS,
    decimal,
    reading_figure,
)

RESULTS = {True: "passed", False: "failed", None: "not judged"}


def gates_table(decision: Decision) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of every gate."""
    rows = []
    for gate in decision.gates:
        sign = "≤" if gate.comparison == "<=" else "≥"
        unmeasured = gate.passed is None and gate.measured is None
        rows.append(
            [
                GATES.get(gate.name, gate.name),
                gate_figure(gate.name, gate.measured),
                f"{sign} {gate_figure(gate.name, gate.threshold)}",
                "not measured" if unmeasured else RESULTS[gate.passed],
            ]
        )
    return ["gate", "measured", "required", "result"], rows


def readings_table(found: FeatureLevel) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the readings: values before, after, of the reference, and position.

    They go by the short names that the verdict's reason uses.
    """
    reference = found.reference
    columns = ["hidden layers", "before", "after"]
    rows = []
    for one in found.readings:
        values = [one.original, one.successor]
        if reference is not None:
            values.append(getattr(one, reference))
        place = "cannot tell" if one.position is None else decimal(one.position)
        figures = [reading_figure(one.name, value) for value in values]
        rows.append([one.name, *figures, place])
    if reference is not None:
        columns.append(reference)
    return [*columns, "position"], rows


def readings_title(found: FeatureLevel) -> str:
    """What the positions mean."""
    if found.reference is None:
        return "Readings of hidden layers; there is nothing to measure a position from"
    return f"Position: 0 is a {NETWORKS[found.reference]}, 1 is before"
