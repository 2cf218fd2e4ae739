"""The same flows against a real MLflow server over HTTP, which keeps the artifacts."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from flows.train import train
from flows.unlearn import unlearn
from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.settings import load_settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.run import artifact_path
from tasks.one_request import file_request

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory):
    """Address of a server on a free port, with a SQLite store and proxied artifacts."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'm.db'}", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait(address, server)
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, 15)
            server.wait(30)


def _wait(address, server):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, "the MLflow server stopped"
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"{address}/health", timeout=5)  # noqa: S310 (our own)
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.2)
    pytest.fail("the MLflow server did not answer within two minutes")


@pytest.mark.pictures
def test_train_and_unlearn_through_a_server(project, mlflow_server, tmp_path, monkeypatch):
    from cli.summary import summary_of

    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LETHE_MLFLOW__TRACKING_URI", mlflow_server)
    settings = load_settings()
    assert train("digits").version == "digits/1"
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=("6",)))
    request = file_request(settings, DeletionRequest(model="digits@champion", forget=spec))
    result = unlearn(request.id)
    assert (result.successor, result.alias) == ("digits/2", "champion")

    client = connect(settings)
    assert artifact_path(client, result.run_id, tags.STATEMENT_FILE).is_file()
    summary = summary_of(result.run_id)
    assert summary.evaluation.after.forget_held_out.correct == 0
    assert summary.report.startswith(f"{mlflow_server}/#/experiments/")
    assert not (tmp_path / "state" / "mlflow.db").exists()
