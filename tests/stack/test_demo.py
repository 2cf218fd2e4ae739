"""`make stack-demo`, and a second start with the data of the first."""

import json

import pytest

from infra.stack.demo import demo, lethe
from infra.stack.health import prefect_client
from infra.stack.manager import Manager
from infra.stack.secrets import read_credentials
from infra.stack.up import healthy, start, stop

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_signed_ticket_becomes_a_registered_version_and_an_answered_ticket(stack):
    settings, credentials = stack
    said = []
    issue = demo(settings, credentials, said.append)
    assert not issue.is_open
    listed = json.loads(lethe(settings, credentials, "model", "list", "--json"))
    newest = max(int(one["version"].partition("/")[2]) for one in listed)
    assert newest >= 2
    assert f"digits/{newest}" in issue.comments[-1]
    text = "\n".join(said)
    for state in ("approved", "in_progress", "registered", "promoted", "completed"):
        assert f"request: {state}" in text


@pytest.mark.exhaustive
def test_stopped_in_order_and_started_again_it_has_its_data_and_passwords(stack):
    settings, credentials = stack
    before = lethe(settings, credentials, "model", "list", "--json")
    assert stop(settings, lambda _: None)
    assert not Manager(settings).is_running()
    assert not stop(settings, lambda _: None)
    assert start(settings, lambda _: None) == credentials == read_credentials(settings)
    assert all(healthy(settings, credentials).values())
    assert lethe(settings, credentials, "model", "list", "--json") == before
    with prefect_client(settings, credentials) as client:
        assert client.get("/work_pools/gpu", headers={}).json()["name"] == "gpu"
