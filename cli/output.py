"""What the command prints: results on stdout, everything else on stderr."""

import json
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print a value as JSON for scripts."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; numbers after the first column are aligned right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for place, name in enumerate(columns):
        numbers = place > 0 and all(row[place][:1].isdigit() for row in rows if row[place])
        table.add_column(
            name, justify="right" if numbers else "left", overflow="fold", no_wrap=place == 0
        )
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)


def note(text: str) -> None:
    """Tell what is going on."""
    err.print(text)
