"""`lethe model`: registered versions, where they came from, and which one serves."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.card import card
from cli.options import Json

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from lethe.settings import Settings

app = typer.Typer(
    help="List, adopt, promote and roll back model versions.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Alias = Annotated[str | None, typer.Option(help="Alias to move; default: models.alias.")]


def _connect() -> tuple["Settings", "MlflowClient"]:
    from cli.environment import prepare_environment
    from lethe.settings import load_settings

    settings = load_settings()
    prepare_environment(settings)
    from model_registry.connection import connect

    return settings, connect(settings)


@app.command("list")
def list_versions(as_json: Json = False) -> None:
    """List every version: where it came from, what it forgot, its verdict and aliases.

    Example: lethe model list
    """
    from cli.output import note, print_json, print_table
    from model_registry import tags
    from model_registry.lineage import class_names

    _, client = _connect()
    rows: list[list[str]] = []
    for model in client.search_registered_models():
        names: dict[int, list[str]] = {}
        for alias, number in model.aliases.items():
            names.setdefault(int(number), []).append(alias)
        found = client.search_model_versions(f"name = '{model.name}'")
        for version in sorted(found, key=lambda v: int(v.version)):
            forgot = ", ".join(class_names(version)) or version.tags.get(tags.FORGET_KIND, "")
            rows.append(
                [
                    f"{model.name}/{version.version}",
                    version.tags.get(tags.ORIGIN, "logged by others"),
                    version.tags.get(tags.PARENT, ""),
                    forgot,
                    version.tags.get(tags.VERDICT, ""),
                    ", ".join(sorted(names.get(int(version.version), []))),
                ]
            )
    columns = ["version", "origin", "parent", "forgot", "verdict", "aliases"]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif rows:
        print_table("Model versions", columns, rows)
    else:
        note("No model is registered yet. Train one: lethe train digits")


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="NAME@ALIAS or NAME/NUMBER.")],
    as_json: Json = False,
) -> None:
    """Show one version: its tags, its line of ancestors and its description.

    Example: lethe model show digits@champion
    """
    from cli.output import out, print_json, print_table
    from model_registry.lineage import ancestry
    from model_registry.version import find_version

    _, client = _connect()
    ref, record = find_version(client, version)
    line = [f"{step.name}/{step.version}" for step in ancestry(client, ref)]
    if as_json:
        facts: dict[str, Any] = {"version": str(ref), "tags": dict(record.tags), "ancestry": line}
        print_json({**facts, "description": record.description, "run_id": record.run_id})
        return
    print_table(str(ref), ["tag", "value"], [[k, v] for k, v in sorted(record.tags.items())])
    out.print("Came from: " + " <- ".join(line))
    if record.description:
        out.print(f"\n{record.description}", markup=False)


@app.command()
def lineage(
    model: Annotated[str, typer.Argument(help="Name of the registered model.")],
    picture: Annotated[
        Path | None, typer.Option(help="Write a picture to this file: .png or .svg.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which version came from which, and what each was made to forget.

    Example: lethe model lineage digits --picture lineage.svg
    """
    from dataclasses import asdict

    from cli.lineage_view import lineage_view
    from cli.output import note, out, print_json

    if picture is not None:
        from model_registry.lineage_picture import check_ending

        check_ending(picture)
    _, client = _connect()
    from model_registry.lineage_tree import tree

    nodes = tree(client, model)
    if picture is not None:
        from model_registry.lineage_picture import draw, write

        write(draw(model, nodes), picture)
        note(f"Wrote {picture}.")
    if as_json:
        print_json([asdict(node) | {"created": node.created.isoformat()} for node in nodes])
        return
    out.print(lineage_view(model, nodes))


@app.command()
def adopt(
    version: Annotated[str, typer.Argument(help="NAME@ALIAS or NAME/NUMBER.")],
    factory: Annotated[str, typer.Option(help="PACKAGE.MODULE:CALLABLE that makes the network.")],
    kwargs: Annotated[str, typer.Option(help="Its keyword arguments as JSON.")] = "{}",
    classes: Annotated[
        str | None, typer.Option(help="Class of each logit in order, A,B,…; default: the data's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Register an equivalent of a version logged by others, which Lethe can rebuild and edit.

    The module must be importable here and listed in the setting models.factories.

    Example: lethe model adopt churn@champion --factory churn.net:build --classes stays,leaves
    """
    from cli.output import out, print_json
    from lethe.errors import SettingsError

    settings, client = _connect()
    from pydantic import ValidationError

    from lethe.models.architecture import Architecture
    from model_registry.adopt import adopt_version

    try:
        architecture = Architecture(factory=factory, kwargs=json.loads(kwargs))
    except (ValidationError, json.JSONDecodeError) as error:
        raise SettingsError(
            f"--factory takes PACKAGE.MODULE:CALLABLE and --kwargs a JSON object: {error}. "
            f"Nothing was registered."
        ) from error
    names = () if classes is None else tuple(n.strip() for n in classes.split(","))
    adopted = adopt_version(client, version, architecture, names, settings)
    if as_json:
        print_json({"version": str(adopted)})
        return
    out.print(f"Registered [bold]{adopted}[/bold], which answers as {version} does.")


app.command()(card)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="The unlearned version, NAME/NUMBER.")],
    alias: Alias = None,
    as_json: Json = False,
) -> None:
    """Move the alias from an unlearned version's parent to the version.

    Deletion requests that waited for it are completed.

    Example: lethe model promote digits/2
    """
    from cli.output import note, out, print_json
    from lethe.errors import ModelError

    settings, client = _connect()
    from model_registry.aliases import promote as move
    from model_registry.version import find_version

    ref, _ = find_version(client, version)
    name = alias or settings.models.alias
    if not move(client, ref, name):
        raise ModelError(
            f"The alias {name!r} is not on the parent of {ref}, so it was left where it is. "
            f"`lethe model list` shows where that is."
        )
    from tasks.desk import open_desk
    from tasks.serving import promoted

    with open_desk(settings) as desk:
        completed = promoted(desk, ref)
    if as_json:
        print_json({"alias": name, "version": str(ref), "requests_completed": completed})
        return
    out.print(f"{ref.name}@{name} is now version [bold]{ref.number}[/bold].")
    if completed:
        note(f"{completed} deletion requests that waited for it are completed.")


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(help="Name of the registered model.")],
    alias: Alias = None,
    as_json: Json = False,
) -> None:
    """Move the alias from an unlearned version back to its parent, which still remembers.

    That is noted with the deletion requests that the version was made for.

    Example: lethe model rollback digits
    """
    from cli.output import note, out, print_json

    settings, client = _connect()
    from model_registry.aliases import rollback as move_back

    name = alias or settings.models.alias
    left, now = move_back(client, model, name)
    from cli.parse import operator
    from tasks.desk import open_desk
    from tasks.serving import rolled_back

    with open_desk(settings) as desk:
        reopened = rolled_back(desk, left, now, actor=operator())
    if as_json:
        shown = {"alias": name, "left": str(left), "version": str(now), "requests": reopened}
        print_json(shown)
        return
    out.print(f"{model}@{name} is now version [bold]{now.number}[/bold] again.")
    if reopened:
        note(f"Noted with {len(reopened)} deletion requests.")
    note(f"{now} still remembers what {left} forgot. Move forward: lethe model promote {left}")
