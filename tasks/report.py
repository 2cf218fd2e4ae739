"""Plots and the HTML report, written to the record's folder."""

from lethe.audit.statement import Statement
from model_registry import tags
from tasks.outcome import Outcome
from tasks.record import Record


def write_report(record: Record, outcome: Outcome, statement: Statement) -> None:
    """Write everything a person reads about the run."""
    (record.folder / tags.REPORT_FILE).write_text("<p>later</p>", encoding="utf-8")
