"""The table that ends an unlearning: what was forgotten, what it cost, where to read on."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from lethe.audit.predicate import Choice, Rung
from lethe.audit.statement import Statement
from lethe.evaluation.results import Accuracy, Evaluation, Part

if TYPE_CHECKING:
    from tasks.results import UnlearnResult

ROWS = {
    Part.FORGET_TRAIN: "forget, training",
    Part.FORGET_HELD_OUT: "forget, held-out",
    Part.RETAINED_TRAIN: "retained, training",
    Part.RETAINED_HELD_OUT: "retained, held-out",
}
COLORS = {"erased": "green", "suppressed": "yellow", "retrained": "green", "refused": "red"}


class Summary(BaseModel):
    """What a run recorded: its evaluation, wall seconds by computation, where the report is.

    `figures` are all figures of the evaluation by name, with the positions of the readings.
    `choice` says how it came to the method; None in records of before that was noted.
    """

    model_config = ConfigDict(frozen=True)

    evaluation: Evaluation
    figures: dict[str, float]
    seconds: dict[str, float]
    report: str
    choice: Choice | None = None


def summary_of(run_id: str) -> Summary:
    """Read a run's record from MLflow."""
    from lethe.settings import load_settings
    from model_registry import tags
    from model_registry.connection import connect
    from model_registry.page import ui_link
    from model_registry.run import artifact_path

    settings = load_settings()
    client = connect(settings)
    run = client.get_run(run_id)
    metrics = run.data.metrics
    page = f"#/experiments/{run.info.experiment_id}/runs/{run_id}/artifacts/{tags.REPORT_FILE}"
    text = artifact_path(client, run_id, tags.EVALUATION_FILE).read_text(encoding="utf-8")
    evaluation = Evaluation.model_validate_json(text)
    statement = artifact_path(client, run_id, tags.STATEMENT_FILE).read_bytes()
    return Summary(
        evaluation=evaluation,
        figures=evaluation.figures(),
        seconds={
            name.removeprefix(tags.SECONDS): value
            for name, value in metrics.items()
            if name.startswith(tags.SECONDS)
        },
        report=ui_link(settings, page) or str(artifact_path(client, run_id, tags.REPORT_FILE)),
        choice=Statement.model_validate_json(statement).predicate.choice,
    )


def print_summary(result: "UnlearnResult", summary: Summary) -> None:
    """Print the accuracies before and after, time against retraining, verdict and report."""
    from cli.output import out, print_table

    columns, rows = evaluation_table(summary.evaluation, result.parent, result.successor)
    compared = summary.evaluation.reference is not None
    rows.append(["seconds to make", "", *_seconds(summary.seconds, with_reference=compared)])
    out.print()
    print_table(_heading(result), columns, rows)
    print_readings(summary.evaluation)
    print_choice(summary.choice)
    out.print(f"\n{verdict_words(result.verdict, result.reason)}")
    if result.alias:
        name = result.successor.partition("/")[0]
        out.print(f"Alias:   [bold]{name}@{result.alias}[/bold] is {result.successor}")
    out.print(f"Report:  {summary.report}", soft_wrap=True)


def print_readings(evaluation: Evaluation) -> None:
    """Print the readings of the hidden layers; nothing where they were not measured."""
    from cli.output import out, print_table
    from cli.verdict_tables import readings_table, readings_title

    found = evaluation.features
    if found is not None and found.readings:
        out.print()
        print_table(readings_title(found), *readings_table(found))


def print_choice(choice: Choice | None) -> None:
    """Print the ladder step by step; nothing where a single method was named and not searched."""
    from cli.output import out, print_table

    if choice is None or (len(choice.rungs) == 1 and not choice.left_out and not choice.search):
        return
    out.print()
    print_table("How it came to this method", ["step", "method", "because", "came of it"], [
        [str(number), rung.method, rung.because, _came_of(rung)]
        for number, rung in enumerate(choice.rungs, 1)
    ])  # fmt: skip
    for one in choice.left_out:
        out.print(f"Left out: {one.method}, since {one.because}", markup=False)
    if choice.search is not None:
        found, trial = choice.search, choice.search.trials[choice.search.best]
        taken = ", ".join(f"{name} = {value}" for name, value in trial.settings.items())
        out.print(
            f"Searched {len(found.trials)} settings in {found.seconds:.1f} s without retained "
            f"rows; taken: {taken or 'its own'}",
            markup=False,
        )


def _came_of(rung: Rung) -> str:
    words = rung.outcome.replace("_", " ")
    failed = rung.outcome in {"refused", "unable"} and rung.said
    return f"{words}: {rung.said}" if failed else words


def verdict_words(verdict: str, reason: str) -> str:
    """The verdict with its reason, as the terminal shows it."""
    from rich.markup import escape

    color = COLORS.get(verdict, "white")
    return f"Verdict: [bold {color}]{verdict}[/bold {color}]. {escape(reason)}"


def _heading(result: "UnlearnResult") -> str:
    if result.status.value == "already_forgotten":
        return f"Already forgotten: {result.successor} came from {result.parent}"
    return f"{result.parent} was edited, {result.successor} is registered"


def evaluation_table(
    evaluation: Evaluation, before: str, after: str
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the accuracies of two versions and, if measured, a retrained one."""
    columns = ["accuracy", f"before: {before}", f"after: {after}"]
    sides = [evaluation.before, evaluation.after]
    if evaluation.reference is not None:
        columns.append("retrained")
        sides.append(evaluation.reference)
    rows = [
        [words, *(_share(side.get(part)) for side in sides)]
        for part, words in ROWS.items()
        if any(side.get(part) for side in sides)
    ]
    return columns, rows


def _share(accuracy: Accuracy | None) -> str:
    return "not measured" if accuracy is None else f"{accuracy.share:.2%}"


def _seconds(seconds: dict[str, float], *, with_reference: bool) -> list[str]:
    ours = seconds.get("probe", 0.0) + seconds.get("edit", 0.0)
    if not with_reference:
        return [f"{ours:.1f}"]
    theirs = seconds.get("retraining", 0.0)
    share = f" ({ours / theirs:.0%})" if theirs else ""
    return [f"{ours:.1f}{share}", f"{theirs:.1f} (100%)"]
