"""What a comparison says: its title, PTE's bars, who is ahead, and why, in plain words.

The bars are for class requests: accuracy left on forgotten held-out rows, mean loss of retained
held-out accuracy, and that of the worst request, all of any seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lethe.evaluation.comparison.keep import About
from lethe.evaluation.comparison.row import RETRAIN
from lethe.evaluation.comparison.summary import NOTHING_DONE, Line

# Shares of one, the highest that pass.
FORGET_HELD_OUT, RETAINED_LOSS, WORST_REQUEST = 0.005, 0.005, 0.015


@dataclass(frozen=True)
class Bar:
    """A bar, in words; `passed` is None where nothing was measured."""

    name: str
    measured: float | None
    most: float

    @property
    def passed(self) -> bool | None:
        """Whether the figure is within the bar."""
        return None if self.measured is None else round(self.measured, 9) <= self.most


def title(about: About, kind: str) -> str:
    """What the table is of."""
    which = "classes" if kind == "class" else "people"
    some = f", {about.rows_per_class} rows per class" if about.rows_per_class else ""
    seeds = "1 seed" if about.seeds == 1 else f"{about.seeds} seeds"
    trials = f", {about.budget} trials each" if about.budget else ""
    network = str(about.recipe["network"]).rpartition(":")[2]
    made = f"{which} forgotten, {seeds}{trials}, on {about.device}"
    return f"{about.data}, {network}{some}: {made}"


def bars(line: Line) -> tuple[Bar, ...]:
    """The three bars of a method on class requests."""
    loss = None if line.retained_loss is None else line.retained_loss.mean
    return (
        Bar("held-out forget accuracy, highest", line.forget_held_out_worst, FORGET_HELD_OUT),
        Bar("loss of retained accuracy, mean", loss, RETAINED_LOSS),
        Bar("loss of retained accuracy, worst request", line.worst_request, WORST_REQUEST),
    )


def contenders(lines: Sequence[Line]) -> list[Line]:
    """Methods with figures, nearest to retraining first, without the two yardsticks."""
    apart = (RETRAIN, NOTHING_DONE)
    return [line for line in lines if line.gap is not None and line.method not in apart]


def who_is_ahead(lines: Sequence[Line]) -> str:
    """Which method is nearest to retraining, by how much, where its gap lies, and at what cost."""
    found = contenders(lines)
    if not found:
        return "No method could be measured."
    said = [_ahead(found)]
    without = [line for line in found if line.needs != "retain"]
    if found[0].needs == "retain" and without:
        said.append(f"Of those without retained rows: {_ahead(without)}")
    yardstick = next((line for line in lines if line.method == RETRAIN and line.gap), None)
    if yardstick is not None and yardstick.gap is not None:
        said.append(
            f"Two retrainings with different seeds are {points(yardstick.gap.mean)} apart: what is "
            f"nearer than that cannot be told from retraining by these figures."
        )
    return " ".join(said)


def why_refused(lines: Sequence[Line]) -> str:
    """Which gates each method's cells did not pass, nearest first; empty where rows do not say."""
    said = [
        f"{line.method}: {', '.join(f'{gate} {count}' for gate, count in line.failed_gates)}"
        for line in contenders(lines)
        if line.failed_gates
    ]
    return f"Gates that were not passed, by cells: {'; '.join(said)}." if said else ""


def _ahead(found: Sequence[Line]) -> str:
    first = found[0]
    assert first.gap is not None  # noqa: S101 (contenders have one)
    words = (
        f"{first.method} is nearest to retraining, {points(first.gap.mean)} on average"
        f"{_sides(first)}"
    )
    if len(found) > 1:
        words += f"; then {_named(found[1])}{_sides(found[1])}"
        if _overlap(first, found[1]):
            words += ". Their intervals over seeds overlap, so the order may be chance"
    return words + "."


def _sides(line: Line) -> str:
    """Where the gap comes from."""
    if line.forget_gap is None or line.retained_gap is None:
        return ""
    return (
        f" ({points(line.forget_gap.mean)} on forgotten rows, "
        f"{points(line.retained_gap.mean)} on retained ones)"
    )


def _named(line: Line) -> str:
    return f"{line.method} with {points(line.gap.mean)}" if line.gap else line.method


def _overlap(one: Line, other: Line) -> bool:
    ends = [one.gap and one.gap.high, other.gap and other.gap.low]
    if any(end is None for end in ends):
        return True  # with one seed nothing is known of chance
    return bool(ends[0] >= ends[1])  # type: ignore[operator]


def points(share: float) -> str:
    """A difference of shares in points."""
    return f"{100 * share:.2f} points"
