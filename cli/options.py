"""Options that several commands take, with one help text each."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Prefect's log.")]
Dataset = Annotated[str, typer.Option(help="Path that DVC tracks, for example data/digits.")]
MaybeDataset = Annotated[
    str | None, typer.Option(help="Path that DVC tracks, for example data/digits.")
]
MaybeModel = Annotated[
    str | None, typer.Argument(help="NAME@ALIAS or NAME/NUMBER, for example digits@champion.")
]
Classes = Annotated[str | None, typer.Option(help="Classes to forget: A,B,…")]
SubjectsFile = Annotated[
    Path | None, typer.Option(help="File with ids of people to forget, one per line.")
]
SamplesFile = Annotated[
    Path | None, typer.Option(help="File with ids of rows to forget, one per line.")
]
Whole = Annotated[
    bool, typer.Option("--whole", help="All of the data set was made to be forgotten.")
]
Evaluation = Annotated[
    str | None, typer.Option(help="Data set to measure on; default: the --dataset itself.")
]
Repository = Annotated[
    str | None, typer.Option(help="Git repository of the data; default: data.repository.")
]
Rev = Annotated[str, typer.Option(help="Git revision of the data.")]
Ground = Annotated[str, typer.Option(help="Ground of the request.")]
Ticket = Annotated[str | None, typer.Option(help="Key of the ticket.")]
