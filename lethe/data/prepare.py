"""Make one of the known data sets: `python -m lethe.data.prepare digits`.

This is what the stages of `dvc.yaml` run. `ensure_prepared` runs such a stage when it is needed and
pushes what it made to the DVC remote.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lethe.data.errors import ImportFailedError, NotARepositoryError, RemoteError
from lethe.data.importers.common import Originals

KNOWN = ("digits", "watch", "cwru", "fashion_mnist", "cifar10")

# The stages run as processes of their own, so settings reach them by the environment.
MIRROR_VARIABLE = "LETHE_DATA__MIRROR"
HOME_VARIABLE = "LETHE_HOME"

Importer = Callable[[Path, Mapping[str, Any], Originals], None]


def prepare(name: str, out: Path, *, originals: Originals, params: Path) -> None:
    """Write the known data set `name` to the folder `out`.

    Args:
        name: one of `KNOWN`.
        out: folder for `train.parquet` and `test.parquet`.
        originals: where original files come from.
        params: YAML file whose `prepare.NAME` holds the importer's parameters.

    Raises:
        ImportFailedError: if the name, its parameters or its original files are not as they must.
    """
    _check_known(name)
    try:
        chosen = yaml.safe_load(params.read_text(encoding="utf-8"))["prepare"][name]
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ImportFailedError(
            f"{params} holds no parameters prepare.{name}. Nothing was written. Run this in the "
            "folder of the project's params.yaml."
        ) from error
    importer(name)(out, chosen, originals)


def importer(name: str) -> Importer:
    """The importer of a known data set."""
    found: Importer = importlib.import_module(f"lethe.data.importers.{name}").prepare
    return found


def _check_known(name: str) -> None:
    if name not in KNOWN:
        raise ImportFailedError(
            f"There is no known data set {name!r}. Nothing was written. Known: {', '.join(KNOWN)}; "
            "for other data see `lethe data import --help`."
        )


def ensure_prepared(name: str, *, root: Path, home: Path, mirror: Path | None = None) -> bool:
    """Have the stage `prepare@NAME` up to date and pushed; quiet.

    Args:
        name: one of `KNOWN`.
        root: folder of `dvc.yaml`.
        home: state folder, where downloads are kept.
        mirror: folder with original files, read instead of downloading.

    Returns:
        True when everything was there already, False when it was made now.

    Raises:
        ImportFailedError: if the stage fails.
        NotARepositoryError: if `root` is no DVC repository.
        RemoteError: if what was made cannot be pushed.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    _check_known(name)
    target = f"prepare@{name}"
    try:
        with Repo(str(root)) as repo:
            changed = bool(repo.status([target]))
            if changed:
                _reproduce(target, root, home, mirror)
        with Repo(str(root)) as repo:
            repo.push([target])
    except NotDvcRepoError as error:
        raise NotARepositoryError(
            f"{root} is no DVC repository. Nothing was made. Run this in a checkout of the project."
        ) from error
    except DvcException as error:
        raise RemoteError(
            f"Data set {name} is there but cannot be pushed: {error}. Run `dvc push {target}`."
        ) from error
    return not changed


def _reproduce(target: str, root: Path, home: Path, mirror: Path | None) -> None:
    """Run the stage in a process of its own, with this Python first on its path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, HOME_VARIABLE: str(home.resolve())}
    if mirror is not None:
        environment[MIRROR_VARIABLE] = str(mirror.resolve())
    command = [sys.executable, "-m", "dvc", "repro", "--quiet", target]
    done = subprocess.run(  # noqa: S603 (fixed command)
        command, cwd=root, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise ImportFailedError(
            f"Making {target} failed: {_last_lines(done.stderr)} Nothing was kept. "
            f"Run `dvc repro {target}` to see all of it."
        )


def _last_lines(text: str, lines: int = 3) -> str:
    return " ".join(line.strip() for line in text.strip().splitlines()[-lines:])


def main() -> int:
    """Make the data set named on the command line, from inside a stage."""
    from lethe.errors import LetheError

    mirror = os.environ.get(MIRROR_VARIABLE)
    originals = Originals(
        mirror=Path(mirror) if mirror else None,
        cache=Path(os.environ.get(HOME_VARIABLE, ".lethe")) / "downloads",
    )
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        prepare(name, Path("data") / name, originals=originals, params=Path("params.yaml"))
    except LetheError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
