"""What all tests share: no telemetry, no state of the person who runs them, a prepared project."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DVC_NO_ANALYTICS"] = "1"
# The networks here are small; two processes beside each other are faster than two threads in one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

MEMORY, ROOM = Path("/dev/shm"), 6 * 2**30  # noqa: S108 (pytest makes folders of its own there)


def _keep_temporary_files_in_memory():
    """Where there is room: a commit of SQLite waits 20 ms for a disk, and a flow makes hundreds.

    What is there after a process was killed does not depend on it: no test cuts the power.
    """
    with contextlib.suppress(OSError):  # another system than Linux
        known = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = os.statvfs(MEMORY)
        room = min(int(known["MemAvailable"].split()[0]) * 1024, free.f_bavail * free.f_frsize)
        if room > ROOM and not free.f_flag & os.ST_NOEXEC and os.access(MEMORY, os.W_OK):
            os.environ.setdefault("TMPDIR", str(MEMORY))
            tempfile.tempdir = None


_keep_temporary_files_in_memory()

MIRROR = "LETHE_DATA__MIRROR"
_MIRROR_FOLDER = os.environ.get(MIRROR)


def pytest_addoption(parser):
    """Some tests take minutes: all of them run with this, some of each without."""
    parser.addoption(
        "--exhaustive", action="store_true", help="also what takes minutes: make test-exhaustive"
    )


def pytest_collection_modifyitems(config, items):
    """Skip what is marked `exhaustive`, and say how to run it."""
    if config.getoption("--exhaustive"):
        return
    for item in items:
        if item.get_closest_marker("exhaustive"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: make test-exhaustive"))


@pytest.fixture
def exhaustive(request):
    """Whether everything is to be tried rather than a part of it."""
    return request.config.getoption("--exhaustive")


@pytest.fixture(autouse=True)
def _own_settings_only(monkeypatch):
    """Settings in the environment of the person who runs the tests must not reach them."""
    for name in list(os.environ):
        if name.startswith("LETHE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def mirror(monkeypatch):
    """The folder with original data files; the test is skipped where there is none."""
    if _MIRROR_FOLDER is None:
        pytest.skip(f"set {MIRROR} to the folder with the original data files (docs/data.md)")
    monkeypatch.setenv(MIRROR, _MIRROR_FOLDER)
    return _MIRROR_FOLDER


@pytest.fixture(scope="session")
def prefect_server():
    """Address of one Prefect server for all tests of a session; starting one takes ten seconds."""
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    # A run waits up to a second for the thread of its heartbeat.
    still = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with prefect_test_harness(server_startup_timeout=120), still:
        yield PREFECT_API_URL.value()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Makes a folder once for all the processes that share the tests among them; its path."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name, make):
        made, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(made, ignore_errors=True)  # left by one that failed
                make(made)
                done.touch()
        return made

    return folder


@pytest.fixture(scope="session")
def seed_project(made_once):
    """A committed project with the digits data set pushed to its DVC remote; to be copied."""
    return made_once("seed-project", _make_project)


def _make_project(folder):
    from lethe.data.prepare import ensure_prepared

    shutil.copytree(ROOT / "lethe", folder / "lethe", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    for name in ("dvc.yaml", "dvc.lock", "params.yaml", ".gitignore", ".dvcignore"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    (folder / "data").mkdir()
    shutil.copy(ROOT / "data" / ".gitignore", folder / "data" / ".gitignore")
    git = ("git", "-c", "user.name=Tests", "-c", "user.email=tests@example.org")
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "A project"]):
        subprocess.run([*git, *words], cwd=folder, check=True, capture_output=True)
    with contextlib.chdir(folder):
        ensure_prepared("digits", root=folder, home=folder / ".lethe")


@pytest.fixture
def lethe(monkeypatch, capsys):
    """Run the command in this process: exit code, standard output, standard error."""
    from cli import output
    from cli.main import main

    # Messages on one line; consoles that were made before read no environment any more.
    monkeypatch.setenv("COLUMNS", "400")
    for console in (output.out, output.err):
        monkeypatch.setattr(console, "_width", 400)
    before = dict(os.environ)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["lethe", *words])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield run
    # The command sets defaults in the environment; they must not outlive the test.
    os.environ.clear()
    os.environ.update(before)
