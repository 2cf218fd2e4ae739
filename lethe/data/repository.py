"""A data set that DVC tracks in a git repository, opened at one commit.

The working tree plays no part: what is read is what the commit names, from DVC's cache or else
straight from its remote, without filling the cache.
"""

import atexit
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa

from lethe.data.errors import (
    FormError,
    MissingDatasetError,
    MissingObjectError,
    MissingRevisionError,
    NotARepositoryError,
    RemoteError,
)
from lethe.data.info import DatasetInfo
from lethe.data.parquet import SPLITS, Split
from lethe.data.parquet_rows import Opener, open_parquet

# git@example.org:team/data.git
_SCP_LIKE = re.compile(r"^[\w.-]+@[\w.-]+:[^/]")


@dataclass(frozen=True)
class OpenDataset:
    """A data set at a commit.

    `repository` is its `recorded_name`, `git_rev` is a full sha, and `dvc_md5` is DVC's hash of
    the output: 32 hexadecimal digits for a file, followed by `.dir` for a folder.
    """

    repository: str
    git_rev: str
    dataset: str
    dvc_md5: str
    paths: Mapping[Split, str]
    filesystem: Any

    def opener(self, split: Split) -> Opener:
        """What opens the split's Parquet file."""
        return partial(self._open, self.paths[split])

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow schema of the first split."""
        split = next(iter(self.paths))
        with self.opener(split)() as raw, open_parquet(raw) as file:
            return file.schema_arrow

    @cached_property
    def info(self) -> DatasetInfo | None:
        """Facts in the Parquet file, None when it was written by others."""
        return DatasetInfo.from_metadata(self.schema.metadata)

    def _open(self, path: str) -> BinaryIO:
        with _dvc_errors(self.repository, self.dataset, self.git_rev):
            file: BinaryIO = self.filesystem.open(path, "rb")
            return file


def open_dataset(repository: str, dataset: str, rev: str) -> OpenDataset:
    """Open a folder with `train.parquet` and `test.parquet`, or a single Parquet file.

    Args:
        repository: path or URL of a git repository with DVC in it.
        dataset: path inside the repository, with forward slashes.
        rev: any git revision; it is resolved to a full sha.

    Raises:
        NotARepositoryError: if there is no such repository, or DVC is not used in it.
        MissingRevisionError: if it has no such revision.
        MissingDatasetError: if DVC tracks no data set at that path there.
        MissingObjectError: if the data itself is in neither cache nor remote.
        RemoteError: if the remote refuses or cannot be reached.
        FormError: if a single file is not Parquet.
    """
    public, recorded = without_credentials(repository), recorded_name(repository)
    path = str(PurePosixPath(dataset))
    filesystem = dvc_filesystem(repository, rev)
    sha: str = filesystem.repo.get_rev()
    with _dvc_errors(public, path, sha):
        try:
            info = filesystem.info(path)
        except FileNotFoundError:
            raise _missing(public, path, sha) from None
        md5 = _output_hash(info)
        if md5 is None:
            raise _missing(public, path, sha)
        if info["type"] == "file":
            if PurePosixPath(path).suffix != ".parquet":
                raise FormError(
                    f"{path} is no Parquet file. Nothing was read. Turn it into one with "
                    "`lethe data import`."
                )
            return OpenDataset(
                recorded_name(repository), sha, path, md5, {"train": path}, filesystem
            )
        names = {PurePosixPath(name).name for name in filesystem.ls(path, detail=False)}
    paths = {split: f"{path}/{split}.parquet" for split in SPLITS if f"{split}.parquet" in names}
    if "train" not in paths:
        raise MissingDatasetError(
            f"{path} in {public} at {sha[:12]} holds no train.parquet. Nothing was read. "
            "`lethe data import` writes data sets in the right form."
        )
    return OpenDataset(recorded, sha, path, md5, paths, filesystem)


def without_credentials(repository: str) -> str:
    """The path or URL as it may be shown and recorded: no user, password or query of a URL."""
    parts = urlsplit(repository)
    if not parts.scheme or not parts.netloc:
        return repository
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def recorded_name(repository: str) -> str:
    """How a record names a repository: by an address that means the same to everybody.

    A URL stands without credentials. A checkout on this machine is named by the URL it was cloned
    from; one without such a URL by the name of its folder, or `.` for the working folder, since
    the path above it is nobody's business two years later.
    """
    folder = Path(repository)
    if not folder.is_dir():
        return without_credentials(repository)
    origin = _origin(folder)
    if origin and (urlsplit(origin).netloc or _SCP_LIKE.match(origin)):
        return without_credentials(origin)
    return "." if folder.resolve() == Path.cwd() else folder.resolve().name


def _origin(folder: Path) -> str | None:
    """The URL a checkout was cloned from, if its configuration names one."""
    from scmrepo.exceptions import SCMError
    from scmrepo.git import Git

    try:
        with Git(str(folder), search_parent_directories=True) as repository:
            url = repository.dulwich.repo.get_config_stack().get(("remote", "origin"), "url")
    except (SCMError, KeyError):
        return None
    return str(url.decode())


def dvc_filesystem(repository: str, rev: str) -> Any:
    """What DVC tracks at a revision, as a `dvc.api.DVCFileSystem`.

    DVC keeps one index of outputs for all processes, in an SQLite file outside of the repository.
    Of two that fill it at once one fails, and one that is killed meanwhile leaves it incomplete for
    all who come after. The index of what is returned here is in memory.

    Raises:
        NotARepositoryError: if there is no such repository, or DVC is not used in it.
        MissingRevisionError: if it has no such revision.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import RevError
    from dvc_data.index import DataIndex

    public, here = without_credentials(repository), Path(repository).exists()
    location = str(Path(repository).resolve()) if here else repository
    if not here:
        _leave_no_clones()
    try:
        filesystem = DVCFileSystem(location, rev=rev)
        usable = filesystem.repo.dvc_dir is not None
    except RevError as error:
        raise MissingRevisionError(
            f"{public} has no revision {rev!r}. Nothing was read. `git -C {public} log` lists the "
            "revisions; fetch or push the one that is missing."
        ) from error
    except (DvcException, OSError) as error:
        raise NotARepositoryError(
            f"{public} is no git repository that can be read. Nothing was read. Give the path or "
            "URL of one: `lethe config show` names it as data.repository."
        ) from error
    if not usable:
        raise NotARepositoryError(
            f"{public} does not use DVC at revision {rev!r}. Nothing was read. Start with "
            "`dvc init` there, then `dvc add` and `git commit`."
        )
    filesystem.repo._data_index = DataIndex()  # type: ignore[no-untyped-call]  # noqa: SLF001
    return filesystem


@cache
def _leave_no_clones() -> None:
    """Remove, at the end of this process, what DVC clones of other repositories.

    Its command does so itself; a library that uses DVC leaves a clone per process behind.
    """
    atexit.register(_remove_clones, os.getpid())


def _remove_clones(owner: int) -> None:
    from dvc.repo.open_repo import clean_repos

    if os.getpid() == owner:  # a fork shares them with the process that made them
        clean_repos()


def _output_hash(info: Mapping[str, Any]) -> str | None:
    """DVC's hash of a path that is an output or a file in one, None for anything else."""
    return info.get("md5") if info.get("dvc_info", {}).get("isout") else None


def _missing(public: str, path: str, sha: str) -> MissingDatasetError:
    return MissingDatasetError(
        f"DVC tracks no data set {path} in {public} at {sha[:12]}. Nothing was read. "
        f"`lethe data list` shows what there is; a new one needs `dvc add {path}`, `git commit`."
    )


@contextmanager
def _dvc_errors(public: str, dataset: str, sha: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    try:
        yield
    except (OSError, DvcException, DataIndexDirError, BotoCoreError, ClientError) as error:
        # Whatever keeps DVC from the list of a folder's files is the cause of a DataIndexDirError.
        why = (error.__cause__ or error) if isinstance(error, DataIndexDirError) else error
        if isinstance(why, FileNotFoundError | DataIndexDirError):
            raise MissingObjectError(
                f"DVC knows {dataset} in {public} at {sha[:12]}, but neither its cache nor its "
                "remote holds the data. Nothing was changed. Where the data is, run `dvc push`."
            ) from error
        raise RemoteError(
            f"The DVC remote of {public} cannot be read: {type(why).__name__}. Nothing was "
            "changed. Check it with `dvc status --cloud` and see docs/data.md for credentials."
        ) from error
