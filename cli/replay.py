"""`lethe requests replay`: after a restore, what was erased after the backup is erased again."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json


def replay(
    copy: Annotated[
        Path,
        typer.Argument(help="Copy of audit/statements.jsonl that is younger than the backup."),
    ],
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """After a restore: find what was erased after the backup, and have it erased again.

    Exits with 3 if a request cannot be read from its record and must come from its ticket again.

    Example: lethe requests replay /mnt/elsewhere/statements.jsonl
    """
    from getpass import getuser

    from cli.output import note, out
    from lethe.errors import SettingsError
    from lethe.settings import load_settings
    from tasks.desk import open_desk
    from tasks.replay import replay as again

    if not copy.is_file():
        raise SettingsError(f"There is no file {copy}. Nothing was done. Name a copy of the log.")
    with open_desk(load_settings()) as desk:
        found = again(desk, copy, actor=f"cli:{getuser()}", dry=dry)
    if json:
        from dataclasses import asdict

        out.print_json(data=[asdict(one) for one in found])
    for one in found if not json else ():
        ticket = f", ticket {one.ticket} of {one.source}" if one.ticket else ""
        out.print(f"record {one.sequence}: {one.request}{ticket}: {one.fate}", markup=False)
    if not found:
        note("The ledger has every record of this copy: nothing was erased after the backup.")
    elif not dry:
        note("Carry out what was filed with `lethe requests process`.")
    if any(one.fate == "ask again" for one in found):
        raise typer.Exit(3)
