"""The real stack, in a folder and on ports of its own, with a project made from this checkout."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from infra.stack.config import StackSettings
from infra.stack.errors import StackError
from infra.stack.scratch import make_project, scratch_settings
from infra.stack.secrets import read_credentials
from infra.stack.up import start, stop

# What the project's own tests look at is left out of these runs, so that they are short.
CLIENTS = """
LETHE_EVALUATION__FEATURE_LEVEL=false
LETHE_LEDGER__LEASE_SECONDS=20
PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30
OMP_NUM_THREADS=1
"""


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """Settings and credentials of a stack that runs.

    STACK_RUNNING=1 takes the one that `make stack` started, which is quicker while writing tests.
    """
    if os.environ.get("STACK_RUNNING"):
        settings = StackSettings()
        yield settings, read_credentials(settings)
        return
    home = Path(tempfile.mkdtemp(prefix="lethe-stack-"))  # short: a socket lies in it
    project = tmp_path_factory.mktemp("stack") / "project"
    make_project(project)
    for name in [name for name in os.environ if name.startswith("LETHE_")]:
        del os.environ[name]
    settings = scratch_settings(home, project)
    (home / "clients.env").write_text(CLIENTS)
    said = []
    try:
        credentials = start(settings, said.append)
    except StackError as error:
        if "cannot reach" in str(error):  # root, in a folder that nobody else gets into
            pytest.skip(str(error))
        raise
    yield settings, credentials
    stop(settings, said.append)
    shutil.rmtree(home, ignore_errors=True)
