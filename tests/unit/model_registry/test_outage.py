"""What counts as an outage, with the errors that MLflow's client really raises."""

import errno
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lethe.errors import RegistryError
from model_registry.outage import as_outage


@contextmanager
def answering(status, body=b""):
    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 (http.server's names)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def raised(call):
    with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever the client raises)
        call()
    return caught.value


def upload(address, folder):
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    (folder / "weights").write_bytes(b"1")
    root = f"{address}/api/2.0/mlflow-artifacts/artifacts/1"
    HttpArtifactRepository(root).log_artifact(str(folder / "weights"))


def test_a_server_that_is_not_there_is_an_outage():
    with answering(200) as address:
        pass
    outage = as_outage(raised(lambda: MlflowClient(address).get_run("1")))
    assert isinstance(outage, RegistryError)
    assert "did not answer" in str(outage)
    assert "lethe requests process" in str(outage)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (503, b"busy, says somebody@example.org"),
        (500, b'{"error_code": "INTERNAL_ERROR", "message": "somebody@example.org"}'),
    ],
)
def test_an_answer_of_500_and_above_is_an_outage_and_its_text_is_not_repeated(status, body):
    with answering(status, body) as address:
        outage = as_outage(raised(lambda: MlflowClient(address).get_run("1")))
    assert f"MLflow answered {status}" in str(outage)
    assert "somebody" not in str(outage)


def test_an_artifact_that_cannot_be_stored_is_an_outage(tmp_path):
    with answering(500) as address:
        outage = as_outage(raised(lambda: upload(address, tmp_path)))
    assert "have space left" in str(outage)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}'),
        (404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}'),
        (400, b""),
    ],
)
def test_what_a_server_refuses_is_none(status, body, tmp_path):
    with answering(status, body) as address:
        assert as_outage(raised(lambda: MlflowClient(address).get_run("1"))) is None
        assert as_outage(raised(lambda: upload(address, tmp_path))) is None


def test_a_full_disk_is_one_also_in_the_wake_of_another_error():
    error = RuntimeError("The archive was not written")
    error.__context__ = OSError(errno.ENOSPC, "No space left on device")
    assert "no space left" in str(as_outage(error))


def test_errors_of_ones_own_are_none():
    for error in (ValueError("x"), KeyError("x"), MlflowException("The model has no signature")):
        assert as_outage(error) is None
    assert as_outage(OSError(errno.EACCES, "Permission denied")) is None
