"""`lethe benchmark`: compare methods with each other and with retraining."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Json, Verbose
from lethe.errors import SettingsError

if TYPE_CHECKING:
    from tasks.benchmark.plan import Plan

ALL = "all"


def benchmark(
    data: Annotated[str | None, typer.Option(help="Names of data sets under data/: A,B,…")] = None,
    methods: Annotated[
        str | None,
        typer.Option(help="Methods, and retrain: A,B,…; default: all that can forget this."),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Setting of a method, METHOD.NAME=VALUE; repeatable.")
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="Setting of the recipe over params.yaml, NAME=VALUE; repeatable."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, from 0.")] = 3,
    classes: Annotated[
        str | None, typer.Option(help="Classes to forget, each in turn: A,B,…; default: all.")
    ] = None,
    subjects: Annotated[
        str | None,
        typer.Option(help="People to forget, each in turn, by position: 0,1,… or all."),
    ] = None,
    budget: Annotated[
        int, typer.Option(min=0, help="Trials of a search, for every method; 0: own settings.")
    ] = 0,
    rows_per_class: Annotated[
        int, typer.Option(min=0, help="First so many rows of each class and split; 0: all.")
    ] = 0,
    feature_level: Annotated[
        bool, typer.Option(help="Measure hidden layers too; without, nothing is called erased.")
    ] = True,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Cells at a time; default: one for each CPU core.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results; default: benchmark/results at home.")
    ] = None,
    show: Annotated[
        Path | None, typer.Option(help="Print the result in this Parquet file; measure nothing.")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Compare methods with each other and with retraining, on requests for classes or people.

    Writes a Parquet file and a picture for each data set and logs everything to one MLflow run.
    Stopped at any time, the same command goes on where it was.

    Example: lethe benchmark --data digits --methods pte,delete,retrain --seeds 3
    """
    from cli.benchmark_tables import print_comparison
    from lethe.evaluation.comparison.keep import read_rows

    if show is not None:
        print_comparison(*read_rows(show), as_json=as_json)
        return
    from cli.environment import prepare_environment
    from cli.output import note
    from lethe.settings import load_settings

    settings = load_settings()
    prepare_environment(settings, verbose=verbose)
    plan = read_plan(
        data=data,
        methods=methods,
        option=option,
        recipe=recipe,
        seeds=seeds,
        classes=classes,
        subjects=subjects,
        budget=budget,
        rows_per_class=rows_per_class,
        feature_level=feature_level,
    )
    from tasks.benchmark.plan import FOLDER, check_plan

    check_plan(plan)  # before the server starts
    from flows.benchmark import benchmark as flow

    try:
        made = flow(
            plan,
            out=str(out or settings.state / FOLDER / "results"),
            command=shlex.join(["lethe", *sys.argv[1:]]),
            processes=processes or os.cpu_count() or 1,
        )
    except KeyboardInterrupt:
        note(
            f"Stopped, and no table was written. What was trained and measured is kept in "
            f"{settings.state / FOLDER}; give the same command again to go on."
        )
        raise
    for one in made:
        print_comparison(list(one.rows), one.about, as_json=as_json)
        note(f"Kept in {one.parquet}, with a picture beside it.")


def read_plan(
    *,
    data: str | None,
    methods: str | None,
    option: list[str] | None,
    recipe: list[str] | None,
    classes: str | None,
    subjects: str | None,
    **rest: Any,
) -> "Plan":
    """The plan that the options describe.

    Raises:
        SettingsError: if no data set is named, or options contradict each other.
    """
    from cli.parse import read_pairs
    from tasks.benchmark.plan import Plan

    names = _names(data)
    if not names:
        raise SettingsError(
            "Name a data set with --data, or a file with --show. Nothing was measured. "
            "`lethe benchmark --help` shows an example."
        )
    if classes is not None and subjects is not None:
        raise SettingsError(
            "--classes and --subjects are two kinds of request, which are not compared in one "
            "table. Nothing was measured. Give one of them."
        )
    return Plan(
        data=names,
        methods=_names(methods),
        options=_options(option),
        recipe=read_pairs(recipe, "--recipe") or {},
        kind="class" if subjects is None else "subject",
        classes=_names(classes),
        people=_positions(subjects),
        **rest,
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _positions(text: str | None) -> tuple[int, ...] | None:
    names = _names(text)
    if names is None or names == (ALL,):
        return None
    if not names or not all(name.isdigit() for name in names):
        raise SettingsError(
            f"--subjects {text!r} is no list of positions. Nothing was measured. People are named "
            f"by their place among the sorted ids, from 0: --subjects 0,1,2 or --subjects all."
        )
    return tuple(map(int, names))


def _options(pairs: list[str] | None) -> dict[str, dict[str, Any]]:
    from cli.parse import read_pairs

    found: dict[str, dict[str, Any]] = {}
    for name, value in (read_pairs(pairs) or {}).items():
        method, dot, setting = name.partition(".")
        if not dot:
            raise SettingsError(
                f"--option {name}=… does not say for which method. Nothing was measured. Write "
                f"METHOD.{name}=VALUE."
            )
        found.setdefault(method, {})[setting] = value
    return found
