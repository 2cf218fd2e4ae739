"""What `lethe requests` shows of a request: never whom or what it selects by name."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lethe.deletion.intake.next_step import Step
    from lethe.deletion.ledger.types import Entry


def facts(entry: "Entry", *, history: bool = False) -> dict[str, Any]:
    """What may be shown of a request: everything but whom and what it selects."""
    known = entry.facts
    shown: dict[str, Any] = {
        "id": entry.id,
        "state": str(entry.state),
        "reason": entry.reason,
        "model": entry.request.model,
        "dataset": entry.request.forget.dataset,
        "forgets": asks_for(entry),
        "purged_at": None if entry.purged_at is None else f"{entry.purged_at:%Y-%m-%dT%H:%M:%SZ}",
        "source": entry.request.source,
        "ticket": entry.request.ticket,
        "ground": entry.request.ground,
        "regulation": entry.request.regulation,
        "received_at": f"{entry.request.received_at:%Y-%m-%dT%H:%M:%SZ}",
        "due_at": None if entry.due_at is None else f"{entry.due_at:%Y-%m-%dT%H:%M:%SZ}",
        "policy": entry.policy,
        "approvals": list(entry.approvals),
        "duplicate_of": entry.duplicate_of,
        "batch": entry.batch_id,
        "rows": known.rows,
        "missing_ids": known.missing,
        "parent": known.parent,
        "successor": known.successor,
        "verdict": known.verdict,
        "still_recognised": known.forget_accuracy,
        "run_id": known.run_id,
        "statement_sha256": known.statement,
    }
    if history:
        shown["history"] = [
            {
                "at": f"{move.at:%Y-%m-%dT%H:%M:%SZ}",
                "actor": move.actor,
                "before": None if move.before is None else str(move.before),
                "after": str(move.after),
                "reason": move.reason,
            }
            for move in entry.history
        ]
    return shown


def days_left(entry: "Entry", now: datetime) -> str:
    """Days to the deadline in words; nothing for a request that has ended."""
    from lethe.deletion.states import ENDED

    if entry.due_at is None or entry.state in ENDED:
        return ""
    days = (entry.due_at - now).days
    return f"overdue by {-days}" if days < 0 else str(days)


def asks_for(entry: "Entry") -> str:
    """What kind of rows a request selects, without naming any."""
    selection = entry.request.forget.selection
    kind = entry.selected_by if selection is None else selection.kind
    if kind is None:
        return "all of a data set"
    names = {"class": "classes", "subject": "people", "samples": "rows"}
    return names[kind]


def print_requests(entries: "Sequence[Entry]", now: datetime) -> None:
    """Print one line per request; ids and states are not broken, so that they can be copied."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from cli.output import out

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("request", "state", "model", "forgets", "ticket"):
        whole = name in {"request", "state", "forgets"}
        table.add_column(name, no_wrap=whole, overflow="fold")
    table.add_column("days left", justify="right", overflow="fold")
    for entry in entries:
        request = entry.request
        words = [entry.id, str(entry.state), request.model, asks_for(entry), request.ticket or ""]
        table.add_row(*map(escape, [*words, days_left(entry, now)]))
    out.print(table)


def print_facts(entry: "Entry") -> None:
    """Print what is known of a request, a line for each fact."""
    from rich.markup import escape

    from cli.output import out

    shown = facts(entry)
    if entry.selection_gone:
        since = f"{entry.purged_at:%Y-%m-%d}"
        shown["forgets"] += f"; what was selected is no longer kept (since {since})"
    if entry.approvals_needed:
        given = ", ".join(entry.approvals) or "none"
        shown["approvals"] = f"{given} ({len(entry.approvals)} of {entry.approvals_needed})"
    for name, value in shown.items():
        if value not in (None, "", [], {}):
            out.print(f"{name + ':':<18} {escape(str(value))}", soft_wrap=True)


def print_step(step: "Step") -> None:
    """Print what is to be done next, on stderr, and the commands that do it."""
    from rich.markup import escape

    from cli.output import note

    note(f"Next: {escape(step.text)}")
    for command in step.commands:
        note(f"    {escape(command)}")
