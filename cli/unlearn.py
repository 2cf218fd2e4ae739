"""`lethe unlearn`: file a deletion request and carry it out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import (
    Classes,
    Evaluation,
    Ground,
    Json,
    MaybeDataset,
    MaybeModel,
    Repository,
    Rev,
    SamplesFile,
    SubjectsFile,
    Ticket,
    Verbose,
    Whole,
)
from lethe.errors import RefusedError

if TYPE_CHECKING:
    from tasks.results import UnlearnResult


def unlearn(
    model: MaybeModel = None,
    dataset: MaybeDataset = None,
    classes: Classes = None,
    subjects_file: SubjectsFile = None,
    samples_file: SamplesFile = None,
    whole: Whole = False,
    evaluation: Evaluation = None,
    repository: Repository = None,
    rev: Rev = "HEAD",
    request: Annotated[
        str | None, typer.Option(help="Carry out this filed request instead of a new one.")
    ] = None,
    ground: Ground = "unspecified",
    ticket: Ticket = None,
    method: Annotated[
        str | None,
        typer.Option(help="Unlearning method, retrain or auto; default: unlearning.method."),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Setting of the method, NAME=VALUE; repeatable.")
    ] = None,
    promote: Annotated[
        bool | None, typer.Option(help="Move the alias to the successor; default: models.promote.")
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Also retrain without the rows, to compare.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make a registered model forget, and register the successor.

    Exits with 3 when a gate refused the successor; the parent and its aliases stay as they are.

    Example: lethe unlearn digits@champion --dataset data/digits --classes 3
    """
    from cli.environment import prepare_environment
    from cli.output import note, print_json
    from cli.parse import check_either, operator, read_pairs, read_selection
    from lethe.settings import load_settings

    settings = load_settings()
    prepare_environment(settings, verbose=verbose)

    from lethe.deletion.request import new_request, new_spec

    check_either(request, model, dataset, classes, subjects_file, samples_file)
    options = read_pairs(option)
    if method is not None or options is not None:
        from tasks.prepare import check_method

        check_method.fn(settings, method, options)  # before anything is filed
    if request is None:
        assert model is not None and dataset is not None  # noqa: S101, PT018 (checked above)
        spec = new_spec(
            repository=repository or settings.data.repository,
            dataset=dataset,
            rev=rev,
            selection=read_selection(classes, subjects_file, samples_file),
            whole=whole,
        )
        filed = new_request(
            model=model, forget=spec, evaluation=evaluation, ground=ground, ticket=ticket
        )
        from tasks.one_request import file_request

        entry = file_request(settings, filed, actor=operator())
        request = entry.id
        # The same command again goes on with what it began; other settings would be lost there.
        if entry.duplicate_of is not None and method is None and not option:
            note(f"{entry.duplicate_of} asks for the same and is not at its end: it is taken up.")
            request = entry.duplicate_of
    note(f"Request {request} (taken up again with --request {request})")
    from flows.unlearn import unlearn as flow

    try:
        result = flow(
            request_id=request,
            method=method,
            options=options,
            promote=promote,
            reference=reference,
        )
    except RefusedError as refused:
        if as_json:
            print_json({"status": "refused", "request_id": request, "reason": str(refused)})
        raise
    show_result(result, as_json=as_json)


def show_result(result: "UnlearnResult", *, as_json: bool = False) -> None:
    """Print how a request ended: figures, verdict, report, next command."""
    from cli.output import out, print_json
    from cli.summary import print_summary, summary_of

    summary = summary_of(result.run_id)
    if as_json:
        print_json({**result.model_dump(mode="json"), **summary.model_dump(mode="json")})
        return
    print_summary(result, summary)
    out.print(f"Browse the lineage: [bold]{_command()} ui[/bold]")


def _command() -> str:
    """How to call `lethe` from here: by its path where the environment is not activated."""
    called = Path(sys.argv[0])
    return str(called.relative_to(Path.cwd())) if called.is_relative_to(Path.cwd()) else "lethe"
