"""`lethe evaluate`: measure a registered version against another again."""

from typing import Annotated

import typer

from cli.options import Json, Verbose


def evaluate(
    version: Annotated[str, typer.Argument(help="Version to judge, NAME@ALIAS or NAME/NUMBER.")],
    against: Annotated[
        str | None, typer.Option(help="Version to compare with; default: its parent.")
    ] = None,
    request: Annotated[
        str | None, typer.Option(help="Filed request that names the rows; default: its own.")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure what a registered version forgot and what that cost, without changing anything.

    Exits with 3 when a gate fails.

    Example: lethe evaluate digits/2 --against digits/1
    """
    from cli.environment import prepare_environment
    from cli.output import out, print_json, print_table
    from lethe.settings import load_settings

    prepare_environment(load_settings(), verbose=verbose)
    from cli.summary import evaluation_table, print_readings, verdict_words
    from cli.verdict_tables import gates_table
    from flows.evaluate import evaluate as flow

    result = flow(version, against=against, request_id=request)
    if as_json:
        figures = result.evaluation.figures()
        print_json({**result.model_dump(mode="json"), "figures": figures})
    else:
        columns, rows = evaluation_table(result.evaluation, result.against, result.version)
        print_table(f"{result.version} against {result.against}", columns, rows)
        out.print()
        print_table("Gates", *gates_table(result.decision))
        print_readings(result.evaluation)
        out.print(f"\n{verdict_words(result.decision.verdict, result.decision.reason)}")
    if result.decision.refused:
        raise typer.Exit(code=3)
