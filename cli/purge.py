"""`lethe requests purge`: end the keeping of what may be personal about ended requests."""

from typing import Annotated

import typer

from cli.options import Json


def purge(
    older_than: Annotated[
        int | None,
        typer.Option(
            min=1, help="Months since a request ended; default: ledger.purge_after_months."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what is due and change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Empty what requests selected that ended long ago; the record of them stays.

    The flows do so by themselves. What is emptied cannot be brought back: no receipt can be made of
    such a request any more, and a refused or failed one cannot be tried again.

    Example: lethe requests purge --dry-run
    """
    from dataclasses import asdict

    from cli.output import out, print_json
    from cli.parse import operator
    from lethe.deletion.intake.wording import count
    from lethe.deletion.ledger.ledger import open_ledger
    from lethe.keys import record_key
    from lethe.settings import load_settings

    settings = load_settings()
    months = older_than or settings.ledger.purge_after_months
    with open_ledger(settings.ledger_url, key=record_key(settings.record_key_file)) as ledger:
        retention = ledger.retention
        found = retention.due(months) if dry_run else retention.purge_all(months, actor=operator())
    if as_json:
        print_json({"months": months, "dry_run": dry_run, **asdict(found)})
        return
    would = "would be " if dry_run else ""
    out.print(
        f"Ended {months} months ago or earlier: {count(found.requests, 'request')} and "
        f"{count(found.letters, 'letter')} {would}emptied, "
        f"{count(found.deliveries, 'delivery', 'deliveries')} {would}deleted",
        soft_wrap=True,
    )
