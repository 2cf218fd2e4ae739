"""The `lethe` command.

Commands import what they need inside: `lethe --help` must not wait for torch.
"""

import sys
from typing import Annotated

import typer

from cli import (
    audit,
    benchmark,
    config,
    data,
    demo,
    evaluate,
    intake,
    model,
    policy,
    quarantine,
    requests,
    train,
    ui,
    unlearn,
)
from cli.output import err
from lethe.errors import LetheError, RegistryError

app = typer.Typer(
    name="lethe",
    help="Make registered models forget on request, and record what was done.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("unlearn")(unlearn.unlearn)
app.add_typer(requests.app, name="requests")
app.add_typer(quarantine.app, name="quarantine")
app.command("intake")(intake.intake)
app.add_typer(policy.app, name="policy")
app.command("evaluate")(evaluate.evaluate)
app.command("benchmark")(benchmark.benchmark)
app.add_typer(model.app, name="model")
app.add_typer(audit.app, name="audit")
app.add_typer(data.app, name="data")
app.add_typer(config.app, name="config")
app.command("ui")(ui.ui)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"lethe {version('lethe')}")
        raise typer.Exit


@app.callback()
def lethe(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make registered models forget on request, and record what was done."""


def main() -> None:
    """Run the command; an expected error is one message and its exit code, see docs/cli.md."""
    try:
        app()
    except LetheError as error:
        err.print(str(error), style="red", markup=False)
        sys.exit(error.exit_code)
    except Exception as error:
        # MLflow's own errors, without importing MLflow to name them.
        if not type(error).__module__.startswith("mlflow."):
            raise
        failed = RegistryError(
            f"MLflow did not answer as it should: {' '.join(str(error).split())[:400]} What was "
            f"recorded before stays. Check mlflow.tracking_uri (`lethe config show`) and try again."
        )
        err.print(str(failed), style="red", markup=False)
        sys.exit(failed.exit_code)
