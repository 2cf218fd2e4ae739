"""From a `trigger` letter to a run of a deployment of `prefect.yaml`, on a real Prefect server.

Who would take the runs up is a worker; what a worker does is told end to end elsewhere.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Pending, Running

sys.path.insert(0, str(Path(__file__).parent))

from busy_front import busy_front

import flows.trigger
from flows.share import share
from flows.trigger import trigger_sender
from lethe.deletion.answers.deliver import deliver
from lethe.deletion.answers.errors import SendError
from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.types import Letter
from lethe.deletion.policy.load import no_policy
from lethe.settings import Settings
from lethe.settings_sections import IntakeSettings

ROOT = Path(__file__).parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
ON_DEMAND = "deletion-requests/on-demand"


def sender_at(address, *, settings=None):
    """The sender of a process that was started with this address of Prefect, or with none.

    The outbox calls it in threads, to which a test's own settings of Prefect do not reach.
    """

    def send(one):
        given = {"updates": {PREFECT_API_URL: address}}
        none = {"restore_defaults": {PREFECT_API_URL}}
        with temporary_settings(**(given if address else none)):
            trigger_sender(settings or Settings())(one)

    return send


def as_the_outbox_would(sender):
    """Send again while the server is busy: other tests keep its SQLite writing."""

    def send(one):
        for _ in range(20):
            try:
                return sender(one)
            except SendError as error:
                if "answered 503" not in str(error):
                    raise
        return sender(one)

    return send


def letter(name, moment="1"):
    key = f"req-{name}:trigger:{moment}"
    return Letter("trigger", key, {"request_id": f"req-{name}"}, f"req-{name}")


@pytest.fixture(scope="module")
def deployed(prefect_server, tmp_path_factory):
    """The Prefect server, after `prefect deploy --all` in a checkout."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("lethe", "flows", "tasks", "model_registry"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "prefect.yaml", checkout)
    environment = {
        **os.environ,
        "PREFECT_API_URL": prefect_server,
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        "PWD": str(checkout),
        "PYTHONPATH": str(checkout),
        "LETHE_LEDGER__URL": "postgresql+psycopg://lethe:canary-password@db/lethe",
    }
    with temporary_settings({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as one:
        for pool in ("cpu", "gpu"):
            one.create_work_pool(WorkPoolCreate(name=pool, type="process"), overwrite=True)
    words = ["--no-prompt", "deploy", "--all"]
    subprocess.run(
        [PREFECT, *words], cwd=checkout, env=environment, check=True, capture_output=True
    )
    return checkout


@pytest.fixture
def client(prefect_server):
    with temporary_settings({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as one:
        yield one


def runs_of(client, deployment):
    """Of one deployment; the server has runs of other tests too."""
    of = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    return client.read_flow_runs(deployment_filter=of)


@pytest.fixture
def on_demand(deployed, client):
    """The deployment, without runs of the tests before."""
    found = client.read_deployment_by_name(ON_DEMAND)
    for run in runs_of(client, found):
        client.delete_flow_run(run.id)
    return found


@pytest.fixture
def runs(client, on_demand):
    return lambda: runs_of(client, on_demand)


@pytest.fixture
def send(on_demand, prefect_server):
    return as_the_outbox_would(sender_at(prefect_server))


@pytest.fixture
def busy(prefect_server):
    """Address of the same server behind one that answers 503 to the first `left[0]` calls."""
    with busy_front(prefect_server) as front:
        yield front


class Clock:
    """Set by hand, so that what failed is due again at once."""

    now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def outbox(tmp_path):
    """A ledger, and what sends its letters now."""
    settings = Settings(key_file=tmp_path / "record.key")
    key = bytes(range(32))
    (tmp_path / "record.key").write_bytes(key)
    clock = Clock()
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", key=key, clock=clock) as ledger:

        def send_all(sender):
            clock.now += timedelta(hours=1)
            return deliver(
                ledger,
                no_policy(settings),
                settings,
                worker="intake:1",
                senders={"trigger": sender},
                backoff=lambda _: timedelta(minutes=1),
                clock=clock,
            )

        yield ledger, send_all


def test_prefect_yaml_is_deployed_as_it_is_written_without_anything_secret(deployed, client):
    found = {
        name: client.read_deployment_by_name(name)
        for name in ("deletion-requests/scheduled", ON_DEMAND, "settle-requests/settle")
    }
    assert [one.work_pool_name for one in found.values()] == ["gpu", "gpu", "cpu"]
    for one in found.values():
        (step,) = one.pull_steps
        assert step == {
            "prefect.deployments.steps.set_working_directory": {"directory": str(deployed)}
        }
        assert "canary" not in one.model_dump_json()
    strategies = [str(o.concurrency_options.collision_strategy.value) for o in found.values()]
    assert strategies == ["ENQUEUE", "ENQUEUE", "CANCEL_NEW"]
    assert [one.global_concurrency_limit.limit for one in found.values()] == [16, 16, 1]
    nightly, none, often = (one.schedules for one in found.values())
    assert (nightly[0].schedule.cron, nightly[0].active) == ("0 2 * * *", True)
    assert none == []
    assert (often[0].schedule.interval, often[0].active) == (timedelta(minutes=10), True)


@pytest.mark.parametrize(
    ("name", "apart"),
    [
        ("deletion-requests/scheduled", timedelta(days=1)),
        ("settle-requests/settle", timedelta(minutes=10)),
    ],
)
def test_the_server_makes_the_runs_of_the_schedules(deployed, client, prefect_server, name, apart):
    """Prefect's scheduler does so every minute; here it is told to."""
    deployment = client.read_deployment_by_name(name)
    told = httpx.post(f"{prefect_server}/deployments/{deployment.id}/schedule", json={}, timeout=30)
    assert told.status_code == 200, told.text
    times = sorted(
        run.next_scheduled_start_time for run in runs_of(client, deployment) if run.auto_scheduled
    )
    assert len(times) >= 3
    gaps = {(later - one).total_seconds() for one, later in pairwise(times)}
    assert gaps == {apart.total_seconds()}


def test_a_letter_makes_one_run_for_the_worker_to_take(send, runs, client):
    send(letter("1"))
    (run,) = runs()
    assert run.state.type is StateType.SCHEDULED
    assert run.next_scheduled_start_time <= datetime.now(UTC)
    assert run.tags == ["at-once"]
    assert run.parameters == {}
    due = client.get_scheduled_flow_runs_for_deployments([run.deployment_id])
    assert [one.id for one in due] == [run.id]


def test_the_same_letter_twice_makes_one_run_even_after_the_run_has_ended(send, runs, client):
    send(letter("1"))
    send(letter("1"))
    (run,) = runs()
    for state in (Pending(), Running(), Completed()):
        client.set_flow_run_state(run.id, state, force=True)
        send(letter("1"))
        assert [one.id for one in runs()] == [run.id]


@pytest.mark.parametrize("state", [None, Pending()])
def test_while_a_run_has_not_begun_further_letters_make_no_more(send, runs, client, state):
    """It reads the ledger once it is running, so it finds what is in there now."""
    send(letter("1"))
    if state is not None:
        client.set_flow_run_state(runs()[0].id, state, force=True)
    for name in "2345":
        send(letter(name))
    assert len(runs()) == 1


@pytest.mark.parametrize("state", [Running(), Completed(), Cancelled()])
def test_a_run_that_may_be_past_the_request_is_not_relied_on(send, runs, client, state):
    send(letter("1"))
    client.set_flow_run_state(runs()[0].id, state, force=True)
    send(letter("2"))
    send(letter("3"))
    assert len(runs()) == 2


def test_a_request_that_comes_back_to_be_carried_out_is_triggered_again(send, runs, client):
    send(letter("1", "approved first"))
    client.set_flow_run_state(runs()[0].id, Completed(), force=True)
    send(letter("1", "tried again"))
    assert len(runs()) == 2


def test_a_run_whose_worker_was_lost_before_it_began_does_not_swallow_what_follows(
    send, runs, client, monkeypatch
):
    send(letter("1"))
    client.set_flow_run_state(runs()[0].id, Pending(), force=True)
    monkeypatch.setattr(flows.trigger, "START", timedelta(0))
    send(letter("2"))
    send(letter("3"))
    assert len(runs()) == 2


def test_a_run_that_somebody_started_by_hand_for_some_models_is_not_relied_on(
    send, runs, client, on_demand
):
    client.create_flow_run_from_deployment(on_demand.id, parameters={"models": ["watch"]})
    send(letter("1"))
    assert len(runs()) == 2


def test_without_the_deployment_the_letter_stays_owed_until_there_is_one(
    outbox, runs, send, prefect_server
):
    ledger, send_all = outbox
    ledger.enqueue([letter("1")])
    settings = Settings(intake=IntakeSettings(deployment="deletion-requests/not-there"))
    lost = sender_at(prefect_server, settings=settings)
    with pytest.raises(SendError, match="no deployment deletion-requests/not-there") as caught:
        lost(letter("1"))
    assert (caught.value.down, caught.value.permanent) == (True, False)
    assert send_all(lost).sent == 0
    assert (ledger.letters_owed()["trigger"], runs()) == (1, [])
    assert send_all(send).sent == 1
    assert len(runs()) == 1


def test_a_setting_that_names_no_deployment_says_so(prefect_server):
    settings = Settings(intake=IntakeSettings(deployment="on-demand"))
    with pytest.raises(SendError, match="FLOW/DEPLOYMENT") as caught:
        sender_at(prefect_server, settings=settings)(letter("1"))
    assert caught.value.down


def test_a_server_that_is_down_is_tried_once_and_all_is_sent_when_it_is_back(outbox, runs, send):
    ledger, send_all = outbox
    ledger.enqueue([letter(str(number)) for number in range(5)])
    tried = []
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, but nobody listens
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/api"

        def down(one):
            tried.append(one.key)
            sender_at(address)(one)

        failed = send_all(down)
        with pytest.raises(SendError, match="cannot be reached") as caught:
            down(letter("9"))
    assert (failed.sent, failed.failed, failed.dead) == (0, 5, 0)
    assert len(tried) == 2  # one by the outbox, for all five
    assert caught.value.down
    assert address not in str(caught.value)
    assert (ledger.letters_owed()["trigger"], runs()) == (5, [])
    assert send_all(send).sent == 5
    assert len(runs()) == 1
    assert not ledger.letters_owed().get("trigger")


@pytest.mark.parametrize("waiting", [0, 1, 7])
def test_a_run_that_leaves_models_to_others_makes_one_run_for_another_worker(
    waiting, runs, on_demand, client, prefect_server, monkeypatch
):
    many = SimpleNamespace(untouched=lambda: waiting)
    desk = SimpleNamespace(settings=Settings(), ledger=SimpleNamespace(many=many))
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        assert share(desk, SimpleNamespace(id="batch-1")) == bool(waiting)
        (made,) = runs() or [None]
        assert (made is not None) == bool(waiting)
        if made is not None:
            share(desk, SimpleNamespace(id="batch-2"))  # one waits that will do
            assert [one.id for one in runs()] == [made.id]
            client.set_flow_run_state(made.id, Running(), force=True)  # another worker took it
            share(desk, SimpleNamespace(id="batch-1"))  # a step that is repeated makes none
            assert [one.id for one in runs()] == [made.id]
            share(desk, SimpleNamespace(id="batch-3"))
            assert len(runs()) == 2


def test_where_no_other_run_can_be_made_this_one_does_it_all(caplog):
    many = SimpleNamespace(untouched=lambda: 3)
    desk = SimpleNamespace(settings=Settings(), ledger=SimpleNamespace(many=many))
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert share(desk, SimpleNamespace(id="batch-1"))
    assert "No other run shares the work: PREFECT_API_URL is not set" in caplog.text


def test_a_server_that_is_busy_for_a_moment_is_asked_again_at_once(busy, runs, monkeypatch):
    address, left = busy
    monkeypatch.setattr(flows.trigger, "PAUSES_WHEN_BUSY", (0.0, 0.0))
    left[0] = 2
    as_the_outbox_would(sender_at(address))(letter("1"))
    assert len(runs()) == 1
    left[0] = 3
    with pytest.raises(SendError, match="answered 503") as caught:
        sender_at(address)(letter("2"))
    assert caught.value.down


def test_a_server_that_does_not_answer_is_not_waited_for_long(monkeypatch):
    monkeypatch.setattr(flows.trigger, "SECONDS_PER_CALL", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(SendError, match="cannot be reached") as caught:
            sender_at(f"http://127.0.0.1:{silent.getsockname()[1]}/api")(letter("1"))
    assert caught.value.down
    assert time.monotonic() - begun < 20


def test_without_the_address_of_a_server_none_is_started():
    with pytest.raises(SendError, match="PREFECT_API_URL is not set") as caught:
        sender_at(None)(letter("1"))
    assert caught.value.down
