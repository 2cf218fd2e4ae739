"""JSON lines: one object each, with the ids that are bound and those that were given."""

import io
import json
import logging
import threading
from types import SimpleNamespace

import pytest

from lethe import logs
from lethe.settings import Settings

JSON = Settings(logs={"format": "json"})


@pytest.fixture
def terminal(monkeypatch):
    """What is written to stderr; pytest puts its own into `sys` once more after the fixtures."""
    stderr, stdout = io.StringIO(), io.StringIO()
    streams = {"stderr": stderr, "stdout": stdout, "__stderr__": stderr, "__stdout__": stdout}
    monkeypatch.setattr(logs, "sys", SimpleNamespace(**streams))
    return stderr


@pytest.fixture
def root(terminal):
    """The root logger with one handler on stderr, as a program begins; all as before at the end."""
    known = logging.getLogger()
    before, level, trail = known.handlers[:], known.level, logs.trail.level
    known.handlers[:] = [logging.StreamHandler(terminal)]
    known.setLevel(logging.INFO)
    yield known
    known.handlers[:] = before
    known.setLevel(level)
    logs.trail.setLevel(trail)


@pytest.fixture
def lines(root, terminal):
    def read():
        text = terminal.getvalue()
        terminal.truncate(0)
        terminal.seek(0)
        return [json.loads(line) for line in text.splitlines()]

    return read


def test_every_line_is_an_object_with_the_ids_that_are_bound_and_given(lines):
    logs.configure(JSON)
    with logs.bound(flow_run_id="run-1", batch_id="batch-1"):
        logging.getLogger("other.library").warning("of %s", "others")
        with logs.bound(batch_id="batch-2"):
            logs.trail.info("told", extra={"request_id": "req-1", "flow_run_id": "run-2"})
    logs.trail.info("outside\nof it")
    first, second, third = lines()
    moment = first.pop("timestamp")
    assert moment.endswith("+00:00")
    assert first == {
        "level": "WARNING",
        "logger": "other.library",
        "message": "of others",
        "flow_run_id": "run-1",
        "batch_id": "batch-1",
    }
    assert (second["batch_id"], second["flow_run_id"]) == ("batch-2", "run-2")
    assert second["request_id"] == "req-1"
    assert third["message"] == "outside\nof it"
    assert {"flow_run_id", "batch_id"} & third.keys() == set()


def test_configured_twice_nothing_is_written_twice(root, lines):
    logs.configure(JSON)
    logs.configure(JSON)
    logging.getLogger("lethe").warning("once")
    assert [one["message"] for one in lines()] == ["once"]
    root.handlers.clear()
    logs.configure(JSON)  # also where nothing was set up
    logging.getLogger("lethe").warning("again")
    assert [one["message"] for one in lines()] == ["again"]


def test_handlers_of_other_loggers_on_the_terminal_write_json_and_those_on_files_stay(
    lines, terminal, tmp_path
):
    own = logging.getLogger("lethe.test.own")
    file = logging.FileHandler(tmp_path / "log")
    own.handlers[:] = [logging.StreamHandler(terminal), file]
    own.propagate = False
    logs.configure(JSON)
    own.warning("here")
    file.close()
    assert [one["message"] for one in lines()] == ["here"]
    assert (tmp_path / "log").read_text() == "here\n"
    own.handlers.clear()


def test_as_text_nothing_changes_and_the_trail_is_silent(root, terminal):
    before = root.handlers[:]
    logs.configure(Settings())
    assert root.handlers == before
    logs.trail.info("told", extra={"request_id": "req-1"})
    logging.getLogger("lethe").warning("text")
    assert terminal.getvalue() == "text\n"


def test_a_thread_begins_without_ids(lines):
    logs.configure(JSON)
    with logs.bound(http_request_id="1"):
        thread = threading.Thread(target=logging.getLogger("lethe").warning, args=("there",))
        thread.start()
        thread.join()
    assert "http_request_id" not in lines()[0]


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("72d3162e-cc78-11e3-81ab-4c9367dc0958", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("anna@example.org", None),
        ("", None),
    ],
)
def test_only_a_uuid_of_a_delivery_is_logged(text, own):
    assert logs.own_id(text) == own
