"""What all tests share: no telemetry, no state of the person who runs them."""

import os
import sys

import pytest

os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DVC_NO_ANALYTICS"] = "1"
# The networks here are small; two processes beside each other are faster than two threads in one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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
