"""`lethe quarantine`: block now what is forgotten later."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Ground, Json, MaybeDataset, MaybeModel, Ticket, Verbose
from lethe.errors import RefusedError

app = typer.Typer(
    help="Block at once what deletion requests ask for, until they are carried out.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def place(
    model: MaybeModel = None,
    dataset: MaybeDataset = None,
    classes: Annotated[str | None, typer.Option(help="Classes to block: A,B,…")] = None,
    subjects_file: Annotated[
        Path | None, typer.Option(help="File with ids of people to block, one per line.")
    ] = None,
    samples_file: Annotated[
        Path | None, typer.Option(help="File with ids of rows to block, one per line.")
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Option(help="Block what this filed request asks for, not a new one; repeatable."),
    ] = None,
    ground: Ground = "unspecified",
    ticket: Ticket = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Setting of the method prune, NAME=VALUE; repeatable.")
    ] = None,
    promote: Annotated[
        bool | None, typer.Option(help="Move the alias to the quarantine; default: models.promote.")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Register a version that does not answer with what is to be forgotten, and serve it.

    Nothing is forgotten by that. The request is filed and waits for `lethe requests process`, which
    begins with the version under the quarantine. Exits with 3 when the gates refused it.

    Example: lethe quarantine place digits@champion --dataset data/digits --classes 3
    """
    from cli.environment import prepare_environment
    from cli.output import note, out, print_json
    from cli.parse import check_either, operator, read_pairs, read_selection
    from lethe.settings import load_settings

    settings = load_settings()
    prepare_environment(settings, verbose=verbose)
    check_either(request, model, dataset, classes, subjects_file, samples_file)
    options = read_pairs(option)
    if options is not None:
        from lethe.unlearning.method import load_method

        load_method("prune", options)  # before anything is filed
    if not request:
        assert model is not None and dataset is not None  # noqa: S101, PT018 (checked above)
        from lethe.deletion.request import new_request, new_spec
        from tasks.one_request import file_request

        spec = new_spec(
            repository=settings.data.repository,
            dataset=dataset,
            rev="HEAD",
            selection=read_selection(classes, subjects_file, samples_file),
            whole=False,
        )
        filed = new_request(model=model, forget=spec, evaluation=None, ground=ground, ticket=ticket)
        entry = file_request(settings, filed, actor=operator())
        request = [entry.duplicate_of or entry.id]
    note(f"Request {', '.join(request)}")
    from flows.quarantine import quarantine

    try:
        result = quarantine(request_ids=request, options=options, promote=promote)
    except RefusedError as refused:
        if as_json:
            print_json({"status": "refused", "requests": request, "reason": str(refused)})
        raise
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    verb = "stands already" if result.reused else "is registered"
    out.print(f"{result.version} {verb}: {result.parent} under a patch")
    out.print(result.coverage, markup=False)
    if result.alias is None:
        note(f"No alias is on it. Serve it: lethe model promote {result.version}")
    else:
        out.print(f"The alias {result.alias} is on it.")
    note("The request waits as before. Carry it out: lethe requests process")
    note(f"Take the patch off: lethe quarantine lift {result.version.partition('/')[0]}")


@app.command()
def waiting(as_json: Json = False) -> None:
    """Block what approved requests ask for, where the policy says `quarantine`; for cron.

    Exits with 3 when something could not be blocked; the others are.

    Example: lethe quarantine waiting
    """
    from cli.environment import prepare_environment
    from cli.output import err, out, print_json
    from lethe.settings import load_settings

    prepare_environment(load_settings())
    from flows.quarantine import quarantine_waiting

    result = quarantine_waiting()
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        for one in result.placed:
            out.print(f"{one.version}: {one.coverage}", markup=False)
        for request_id, why in result.failed.items():
            err.print(f"{request_id}: {why}", markup=False)
        if not result.placed and not result.failed:
            out.print("Nothing waits that is to be blocked.")
    if result.failed:
        raise RefusedError(
            f"{len(result.failed)} requests were not blocked. They wait as before, and what they "
            f"ask for is answered. Carry them out: `lethe requests process`."
        )


@app.command()
def lift(
    model: Annotated[str, typer.Argument(help="NAME or NAME@ALIAS of the registered model.")],
    alias: Annotated[
        str | None, typer.Option(help="Alias to move back; default: models.alias.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve the version under a quarantine again, after comparing its weights byte for byte.

    Example: lethe quarantine lift digits
    """
    from cli.environment import prepare_environment
    from cli.output import note, out, print_json
    from lethe.settings import load_settings
    from tasks.desk import open_desk

    settings = load_settings()
    prepare_environment(settings)
    from tasks.quarantine_record import lift_quarantine

    with open_desk(settings) as desk:
        left, now = lift_quarantine.fn(desk, model, alias)
    if as_json:
        print_json({"left": str(left), "version": str(now)})
        return
    out.print(f"{now} is served again, with the weights that were under {left}.")
    note(f"It answers with what was blocked. Block it again: lethe model promote {left}")
