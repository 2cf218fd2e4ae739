"""Many due requests for one model; benchmarks/batches.py does the same with 1,000 and a clock."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
REQUESTS, TWICE = 200, 20  # so many of them ask for two identities
IDENTITIES, ROWS = 480, 3


@pytest.fixture
def identities(prefect_server, tmp_path, monkeypatch):
    """The benchmark, in a project of its own that is the working folder."""
    # The network's factory is imported from it by name.
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    benchmark = importlib.import_module("batches")
    for name, value in benchmark.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(benchmark.make_project(tmp_path / "project", IDENTITIES, ROWS))
    yield benchmark
    del sys.modules["batches"]


@pytest.mark.timeout(600)  # of a busy machine
def test_two_hundred_requests_are_one_edit_and_each_has_an_outcome_of_its_own(identities):
    from flows.deletion_requests import deletion_requests
    from lethe.audit.statement import Statement
    from lethe.deletion.states import State
    from lethe.settings import load_settings
    from model_registry import tags
    from model_registry.connection import connect
    from model_registry.run import artifact_path
    from tasks.desk import open_desk

    settings = load_settings()
    names = [f"identity-{number:04}" for number in range(REQUESTS + TWICE)]
    groups = [[names[i], *names[REQUESTS + i : REQUESTS + i + 1]] for i in range(REQUESTS)]
    assert [len(group) for group in groups] == [2] * TWICE + [1] * (REQUESTS - TWICE)
    with open_desk(settings) as desk:
        filed = identities.file_all(desk, groups)
    assert len(filed) == REQUESTS

    result = deletion_requests()

    (batch,) = result.batches
    assert (batch.successor, set(batch.requests)) == ("identities/2", filed)
    client = connect(settings)
    assert len(client.search_model_versions("name = 'identities'")) == 2
    assert client.get_model_version_by_alias("identities", "champion").version in {2, "2"}

    with open_desk(settings) as desk:
        done = {entry.id: entry for entry in desk.ledger.find(limit=REQUESTS + 1)}
    assert set(done) == filed
    assert {entry.state for entry in done.values()} == {State.COMPLETED}
    assert {entry.facts.successor for entry in done.values()} == {"identities/2"}
    for entry in done.values():
        # Its own rows, not the batch's, and its own share of them that is still recognised.
        asked = entry.request.forget.selection.classes
        assert entry.facts.rows == ROWS * len(asked)
        assert entry.facts.forget_accuracy == 0

    path = artifact_path(client, batch.run_id, tags.STATEMENT_FILE)
    said = Statement.model_validate_json(path.read_bytes()).predicate
    assert {request.id: request.rows for request in said.requests} == {
        entry.id: entry.facts.rows for entry in done.values()
    }
    assert [request.recognised for request in said.requests] == [0] * REQUESTS
    assert said.data.count == ROWS * len(names)
    assert set(said.data.classes) == set(names)
