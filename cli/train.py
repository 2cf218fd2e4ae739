"""`lethe train`: train a network and register it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, Verbose


def train(
    dataset: Annotated[str, typer.Argument(help="Name of a data set under data/.")],
    model: Annotated[
        str | None, typer.Option(help="Name to register under; default: the data set's.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Train even if the same version exists.")
    ] = False,
    receipt: Annotated[
        Path | None, typer.Option(help="Write here what was trained; equal on every machine.")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Train on a data set by its recipe in params.yaml and register the network in MLflow.

    Example: lethe train digits
    """
    from cli.environment import prepare_environment
    from cli.output import out, print_json
    from lethe.settings import load_settings

    prepare_environment(load_settings(), verbose=verbose)
    from flows.train import train as flow

    result = flow(dataset, model=model, again=again)
    if receipt is not None:
        facts = {"model": result.version.partition("/")[0], "training_key": result.training_key}
        receipt.parent.mkdir(parents=True, exist_ok=True)
        receipt.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    shown = "not measured" if result.accuracy is None else f"{result.accuracy:.2%}"
    verb = "Reused" if result.reused else "Registered"
    out.print(f"{verb} [bold]{result.version}[/bold]: held-out accuracy {shown}.")
