"""`python -m infra.stack`: what `make stack` and its siblings call."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.stack.config import StackSettings
from infra.stack.errors import StackError
from infra.stack.secrets import credentials_file, read_credentials
from lethe.errors import LetheError

app = typer.Typer(
    name="stack",
    help="The real stack on one machine, without containers.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _known(settings: StackSettings) -> dict[str, str]:
    try:
        return read_credentials(settings)
    except FileNotFoundError:
        raise StackError("The stack was never started here. Type `make stack`.") from None


@app.command()
def up() -> None:
    """Start what does not run, wait until all is healthy, print addresses."""
    from infra.stack.up import start

    settings = StackSettings()
    typer.echo(f"Starting the stack in {settings.home}")
    start(settings, typer.echo)
    for name, port in (("MLflow", settings.mlflow_port), ("Prefect", settings.prefect_port)):
        typer.echo(f"{name:<12} {settings.url(port)}")
    typer.echo(f"{'Intake':<12} {settings.url(settings.intake_port)}")
    typer.echo(f"{'S3':<12} {settings.url(settings.s3_port)}")
    typer.echo(f"{'PostgreSQL':<12} {settings.host}:{settings.postgres_port}")
    typer.echo(f"{'Passwords':<12} {credentials_file(settings)}")
    typer.echo(f"{'For a shell':<12} source {settings.secrets / 'client.sh'}")
    typer.echo("Stop it with `make stack-stop`; data stay.")


@app.command()
def down() -> None:
    """Stop everything in order; data and passwords stay."""
    from infra.stack.up import stop

    if not stop(StackSettings(), typer.echo):
        typer.echo("The stack does not run.")


@app.command()
def status() -> None:
    """Say what runs and whether it is healthy; exit 1 if something is not."""
    from infra.stack.manager import Manager
    from infra.stack.up import healthy

    settings = StackSettings()
    credentials = _known(settings)
    manager = Manager(settings)
    if not manager.is_running():
        raise StackError("The stack does not run. Its data are there. Type `make stack`.")
    found = healthy(settings, credentials)
    for one in manager.states():
        word = "healthy" if found[one["group"]] else "NOT HEALTHY"
        typer.echo(f"  {one['name']:<14} {one['statename']:<10} {word:<12} {one['description']}")
    if not all(found.values()):
        raise typer.Exit(1)


@app.command()
def demo() -> None:
    """Send a signed ticket and follow it to the registered version and the answered ticket."""
    from infra.stack.demo import demo as follow_a_ticket

    settings = StackSettings()
    follow_a_ticket(settings, _known(settings), typer.echo)


@app.command()
def backup(folder: Annotated[Path, typer.Argument(help="A folder that is empty or new.")]) -> None:
    """Write a backup of the stack that runs."""
    from infra.stack.backup import backup as write

    settings = StackSettings()
    _known(settings)
    write(settings, folder.resolve(), typer.echo)
    typer.echo(f"The backup is in {folder}. It holds secrets.")


@app.command()
def restore(folder: Annotated[Path, typer.Argument(help="What `backup` wrote.")]) -> None:
    """Put a backup into a home without data."""
    from infra.stack.backup import restore as put_back

    put_back(StackSettings(), folder.resolve(), typer.echo)
    typer.echo("Restored. Type `make stack`, then look for erasures since: docs/operations.md.")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    command: Annotated[str, typer.Argument(help="lethe, prefect, mlflow, dvc, or any other.")],
) -> None:
    """Run a command against the stack.

    Example: python -m infra.stack run lethe requests list
    """
    from infra.stack.prepare import run_environment

    settings = StackSettings()
    environment = run_environment(settings, _known(settings))
    words = [command, *context.args]
    code = subprocess.run(words, env=environment, cwd=settings.project, check=False).returncode
    raise typer.Exit(code)


def main() -> None:
    """Run; an expected error is one message."""
    try:
        app()
    except LetheError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
