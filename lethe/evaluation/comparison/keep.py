"""A comparison as Parquet: the rows, and in the file's metadata what made them.

    write_rows(path, rows, About(command="lethe benchmark …", …))
    rows, about = read_rows(path)

The same rows and facts give the same bytes with the same pyarrow.
"""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lethe.errors import DataError
from lethe.evaluation.comparison.row import Row

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"lethe.comparison"


class About(BaseModel):
    """What made a comparison: command, code, machine, data and the search budget.

    `changed` says that the checkout had changes that were not committed. `rows_per_class` is the
    most rows of each class in each split, 0 for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    git_commit: str
    changed: bool
    versions: dict[str, str]
    device: str
    cpus: int
    workers: int
    data: str
    dvc_md5: str
    rows_per_class: int
    train_rows: int
    held_out_rows: int
    recipe: dict[str, Any]
    seeds: int
    budget: int
    feature_level: bool

    @property
    def search(self) -> str:
        """The search budget in words, the same for every method."""
        if self.budget < 2:
            return "none: every method with its own settings"
        return f"{self.budget} trials per method, request and seed, without retained rows"


def write_rows(path: Path, rows: Sequence[Row], about: About) -> None:
    """Write rows and facts; the file appears under its name when it is whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_schema(about))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)


def read_rows(path: Path) -> tuple[list[Row], About]:
    """What `write_rows` wrote.

    Raises:
        DataError: if there is no such file, or it is of another kind.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        about = About.model_validate_json((table.schema.metadata or {})[KEY])
        return [Row(**line) for line in table.to_pylist()], about
    except FileNotFoundError as error:
        raise DataError(
            f"There is no file {path}. Nothing was read. `lethe benchmark --out FOLDER` makes one."
        ) from error
    except (KeyError, TypeError, OSError, ValidationError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} is no comparison that this version of Lethe wrote. Nothing was read. Make it "
            f"anew with `lethe benchmark`."
        ) from error


def _schema(about: About) -> "pa.Schema":
    import pyarrow as pa

    types = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}
    columns = [
        pa.field(one.name, types[kind.removesuffix(" | None")], nullable="None" in kind)
        for one in fields(Row)
        for kind in [_kind(one.type)]
    ]
    return pa.schema(columns, metadata={KEY: about.model_dump_json().encode()})


def _kind(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
