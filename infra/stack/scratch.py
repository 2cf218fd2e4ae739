"""A stack beside the one of `make stack`: free ports, and a project made from this checkout.

What tests and benchmarks start, so that nothing of the user's is touched.
"""

import shutil
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from infra.stack.config import ROOT, StackSettings

PACKAGES = ("lethe", "flows", "tasks", "model_registry", "cli", ".dvc")
FILES = ("dvc.yaml", "dvc.lock", "params.yaml", "pyproject.toml", "prefect.yaml", ".gitignore")
PORTS = ("postgres", "s3", "mlflow", "prefect", "intake", "tickets")


def scratch_settings(home: Path, project: Path, **changes: Any) -> StackSettings:
    """Settings of a stack on ports that are free now."""
    ports = dict(zip((f"{name}_port" for name in PORTS), _free_ports(len(PORTS)), strict=True))
    return StackSettings(home=home, project=project, **(ports | changes))


def make_project(folder: Path) -> None:
    """A git repository with Lethe's code, for flows to run in; the folder must not be there."""
    clutter = shutil.ignore_patterns("__pycache__", "cache", "tmp")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=clutter)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / "data").mkdir()
    shutil.copy(ROOT / "data" / ".gitignore", folder / "data" / ".gitignore")
    git = shutil.which("git") or "/usr/bin/git"
    identity = ["-c", "user.name=Lethe", "-c", "user.email=lethe@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "A project"]):
        subprocess.run([git, *identity, *words], cwd=folder, check=True)


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
