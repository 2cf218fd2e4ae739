"""`lethe config`: every setting, its value and where it came from."""

from typing import Any

import typer

from cli.options import Json

app = typer.Typer(help="Show the settings.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    as_json: Json = False,
) -> None:
    """Print every setting with its value and its source.

    Example: LETHE_SEED=3 lethe config show
    """
    from cli.output import print_json, print_table
    from lethe.settings import load_settings, origins

    found = [(name, _shown(value), source) for name, value, source in origins(load_settings())]
    if as_json:
        print_json({name: {"value": value, "source": source} for name, value, source in found})
        return
    rows = [[name, str(value), source] for name, value, source in found]
    print_table("Settings", ["name", "value", "source"], rows)


def _shown(value: Any) -> Any:
    """The value as it may be shown: addresses without user and password."""
    from lethe.audit.fields import without_credentials

    return without_credentials(value) if isinstance(value, str) else value
