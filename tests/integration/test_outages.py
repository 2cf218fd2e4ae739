"""While MLflow or its artifact store is away a request waits and says so; it does not fail."""

import errno

import pytest
import requests

from flows.deletion_requests import deletion_requests
from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.settings import load_settings
from model_registry.connection import connect
from tasks.desk import open_desk
from tasks.one_request import file_request

POLICY = """
version = "test"
[approval]
approvers = ["dpo"]
[sources.cli]
kind = "cli"
models = ["*"]
datasets = ["*"]
"""


def entry(request_id):
    with open_desk(load_settings()) as desk:
        return desk.ledger.get(request_id)


def answered_500():
    response = requests.Response()
    response.status_code = 500
    return requests.HTTPError("somebody@example.org", response=response)


@pytest.mark.slow
def test_an_outage_of_any_length_fails_nobody_and_the_history_says_what_is_waited_for(
    project, monkeypatch
):
    import flows.carry_out

    (project / "policy.toml").write_text(POLICY)
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=("3",)))
    asked = file_request(load_settings(), DeletionRequest(model="digits@champion", forget=spec))
    outages = [answered_500()] * 6 + [OSError(errno.ENOSPC, "No space left on device")]
    with monkeypatch.context() as broken:

        def away(*_, **__):
            raise outages.pop(0)

        broken.setattr(flows.carry_out, "find_done", away)
        while outages:
            (batch,) = deletion_requests().batches
            assert "lethe requests process" in batch.error
    said = [move.reason for move in entry(asked.id).history if move.before == move.after]
    assert said == [
        "It waits: MLflow answered 500, for itself or its artifact store",
        "It waits: There is no space left on this machine's disk",
    ]
    assert entry(asked.id).state is State.IN_PROGRESS
    deletion_requests()
    assert entry(asked.id).state is State.COMPLETED
    versions = connect(load_settings()).search_model_versions("name = 'digits'")
    assert sorted(int(version.version) for version in versions) == [1, 2]


@pytest.mark.slow
def test_an_error_of_ones_own_still_ends_the_request_after_some_tries(project, monkeypatch):
    import flows.carry_out

    (project / "policy.toml").write_text(POLICY)
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=("3",)))
    asked = file_request(load_settings(), DeletionRequest(model="digits@champion", forget=spec))

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(flows.carry_out, "find_done", broken)
    for _ in range(flows.carry_out.MAX_ATTEMPTS + 1):
        deletion_requests()
    assert entry(asked.id).state is State.FAILED
    assert "taken up 5 times" in entry(asked.id).reason


@pytest.mark.slow
def test_data_that_cannot_be_reached_is_waited_for_and_data_that_is_not_there_needs_a_person(
    project, monkeypatch
):
    (project / "policy.toml").write_text(POLICY)
    (project / "elsewhere").symlink_to(project)
    asked = {}
    for name, repository, label in (("far", "elsewhere", "3"), ("gone", ".", "5")):
        dataset = "data/digits" if name == "far" else "data/no-such"
        selection = Selection(classes=(label,))
        spec = ForgetSpec(repository=repository, dataset=dataset, selection=selection)
        request = DeletionRequest(model="digits@champion", forget=spec)
        asked[name] = file_request(load_settings(), request).id
    (project / "elsewhere").unlink()
    for _ in range(2):
        assert deletion_requests().batches == ()
    found = {name: entry(of) for name, of in asked.items()}
    assert {name: one.state for name, one in found.items()} == {
        "far": State.APPROVED,
        "gone": State.HELD,
    }
    assert found["gone"].reason == "Its data set cannot be read: MissingDatasetError"
    waited = [move.reason for move in found["far"].history if move.before == move.after]
    assert waited == ["It waits: elsewhere is no git repository that can be read"]
    (project / "elsewhere").symlink_to(project)
    deletion_requests()
    assert entry(asked["far"]).state is State.COMPLETED
