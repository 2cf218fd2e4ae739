"""What data sets a checkout has, and what one of them holds."""

from collections import Counter
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from lethe.data.dataset import describe
from lethe.data.errors import MissingRevisionError
from lethe.data.info import DatasetInfo
from lethe.data.parquet import Split
from lethe.data.repository import open_dataset
from lethe.data.scan import Scan, scan


class DatasetSummary(BaseModel):
    """What a data set holds at a commit; `rows` counts rows per split and label."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset: str
    repository: str
    git_rev: str
    dvc_md5: str
    info: DatasetInfo
    rows: dict[str, dict[str, int]]
    row_groups: dict[str, int]


class DatasetEntry(BaseModel):
    """A data set that DVC knows in the working tree, and whether its files are there."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset: str
    dvc_md5: str | None
    size: int | None
    present: bool


def check_committed(root: Path, dataset: str, committed: str) -> None:
    """Refuse to go on with committed data while the checkout names newer data.

    Args:
        root: folder of a checkout; one without DVC files, or of another repository, passes.
        dataset: path of the data set in it.
        committed: DVC md5 of the data set in the commit that is about to be read.

    Raises:
        MissingRevisionError: if the checkout's `dvc.lock` or `.dvc` file names another md5.
    """
    here = {entry.dataset: entry.dvc_md5 for entry in list_datasets(root)}.get(dataset)
    if here is not None and here != committed:
        raise MissingRevisionError(
            f"{dataset} was made anew since the last commit, which is what would be read. Nothing "
            f"was read. Keep the new data with `dvc push` and `git commit -am 'New {dataset}'`, or "
            f"bring the committed data back with `git checkout dvc.lock && dvc checkout`."
        )


def list_datasets(root: Path) -> list[DatasetEntry]:
    """Outputs under `data/` that `dvc.lock` and the `.dvc` files of the checkout name."""
    outputs: dict[str, dict[str, object]] = {}
    lock = root / "dvc.lock"
    if lock.is_file():
        for stage in (yaml.safe_load(lock.read_text(encoding="utf-8")) or {})["stages"].values():
            outputs.update({out["path"]: out for out in stage.get("outs", [])})
    for file in sorted((root / "data").rglob("*.dvc")):
        for out in (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("outs", []):
            path = (file.parent / out["path"]).relative_to(root).as_posix()
            outputs[path] = out
    return [
        DatasetEntry(
            dataset=path,
            dvc_md5=str(md5) if (md5 := out.get("md5")) else None,
            size=size if isinstance(size := out.get("size"), int) else None,
            present=(root / path).exists(),
        )
        for path, out in sorted(outputs.items())
        if path.startswith("data/")
    ]


def summarise(repository: str, dataset: str, rev: str) -> DatasetSummary:
    """Count what a data set holds at a commit.

    Raises:
        DataError: as `lethe.data.repository.open_dataset` does.
    """
    opened = open_dataset(repository, dataset, rev)
    scans: dict[Split, Scan] = {
        split: scan(opened.opener(split), path, None) for split, path in opened.paths.items()
    }
    labels: Counter[str] = sum((found.labels for found in scans.values()), Counter())
    return DatasetSummary(
        dataset=opened.dataset,
        repository=opened.repository,
        git_rev=opened.git_rev,
        dvc_md5=opened.dvc_md5,
        info=opened.info or describe(opened, labels),
        rows={split: dict(sorted(found.labels.items())) for split, found in scans.items()},
        row_groups={split: len(found.totals) for split, found in scans.items()},
    )
