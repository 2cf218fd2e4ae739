"""Health, metrics, the policy while the service runs, the courier."""

from threading import Event

import pytest
from intake_client import OTHER, POLICY, bearer, issue, signed, submit
from prometheus_client.parser import text_string_to_metric_families

from lethe.deletion.intake.reload import LivePolicy
from lethe.deletion.ledger.errors import LedgerUnavailableError
from lethe.errors import PolicyError

DEADLINE = 10


def figures(client, **headers):
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_process_is_alive_and_ready(client):
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "policy": "current"}


def test_without_a_ledger_it_is_alive_and_not_ready(start, ledger, monkeypatch):
    client = start()

    def away():
        raise LedgerUnavailableError("away")

    monkeypatch.setattr(ledger, "ping", away)
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_figures_tell_what_came_in_and_what_stands_in_the_ledger(client):
    client.post("/webhooks/issues", **signed(issue()))
    client.post("/webhooks/issues", **signed(issue()))
    client.post("/webhooks/issues", **signed(issue(), secret=OTHER))
    found = figures(client)
    assert found["lethe_intake_arrivals_total", "filed", "issues"] == 1
    assert found["lethe_intake_arrivals_total", "issues", "repeated"] == 1
    assert found["lethe_intake_refused_total", "issues", "signature_wrong"] == 1
    assert found["lethe_requests", "awaiting_approval"] == 1
    assert found["lethe_requests", "failed"] == 0
    assert 26 < found[("lethe_days_left",)] < 32
    assert found[("lethe_letters_dead",)] == 0
    assert found[("lethe_intake_commit_arrivals_count",)] == 2
    assert found["lethe_http_seconds_count", "/webhooks/{source}", "202", "POST"] == 2


def test_strangers_cannot_make_labels(client):
    for n in range(5):
        client.post(f"/webhooks/stranger-{n}", content=b"{}")
        client.request(f"METHOD{n}", f"/page-{n}")
    text = client.get("/metrics").text
    assert "stranger" not in text
    assert "METHOD" not in text
    assert "page-" not in text
    assert figures(client)["lethe_intake_refused_total", "source_unknown", "unknown"] == 5


def test_no_deadline_is_no_figure(client):
    assert ("lethe_days_left",) not in figures(client)


@pytest.mark.parametrize(
    "listen", [{"host": "192.0.2.1"}, {"public_url": "https://lethe.example.org"}]
)
def test_where_strangers_can_come_figures_need_a_token(start, listen):
    client = start(listen=listen)
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=bearer("portal")).status_code == 403
    assert client.get("/metrics", headers=bearer("clerk")).status_code == 200


@pytest.fixture
def live(settings):
    """A policy that looks at its file at each call, and the file."""
    moments = iter(range(10**6))
    return LivePolicy(settings, clock=lambda: 10.0 * next(moments)), settings.policy_file


def test_a_changed_policy_is_read_again(live):
    policy, file = live
    file.write_text(POLICY.replace('"test"', '"next"'), encoding="utf-8")
    assert policy().version == "next"
    assert not policy.stale


@pytest.mark.parametrize("spoil", ["wrong", "gone"])
def test_a_policy_that_went_bad_does_not_replace_the_last_good_one(live, spoil, caplog):
    policy, file = live
    good = policy()
    if spoil == "gone":
        file.unlink()
    else:
        file.write_text("version = ", encoding="utf-8")
    assert policy() is good
    assert policy.stale
    assert "the last good one stays" in caplog.text
    file.write_text(POLICY, encoding="utf-8")
    assert policy().label == good.label
    assert not policy.stale


def test_readiness_says_that_the_policy_is_stale(start, live):
    policy, file = live
    client = start(policy=policy)
    file.write_text("nonsense", encoding="utf-8")
    assert client.get("/readyz").json() == {"status": "ready", "policy": "stale"}
    assert figures(client)[("lethe_policy_stale",)] == 1


def test_a_policy_that_is_wrong_from_the_start_is_refused(settings):
    settings.policy_file.write_text("nonsense", encoding="utf-8")
    with pytest.raises(PolicyError):
        LivePolicy(settings)


class Post:
    """What a courier calls; the first call may fail."""

    def __init__(self, *, fails=False):
        self.calls = 0
        self.fails = fails
        self.called = Event()

    def __call__(self):
        self.calls += 1
        self.called.set()
        if self.fails and self.calls == 1:
            raise ValueError("canary")


def test_letters_are_delivered_after_an_arrival_without_waiting_for_the_next_round(start):
    post = Post()
    client = start(deliver=post)
    assert post.called.wait(DEADLINE)
    post.called.clear()
    submit(client)
    assert post.called.wait(4)  # the next round would begin after five seconds


def test_a_delivery_that_fails_is_tried_again_and_its_text_is_not_logged(start, caplog):
    post = Post(fails=True)
    client = start(deliver=post)
    assert post.called.wait(DEADLINE)
    post.called.clear()
    submit(client)
    assert post.called.wait(DEADLINE)
    logged = [r for r in caplog.records if r.name == "lethe.intake"]
    assert any("builtins.ValueError" in record.getMessage() for record in logged)
    assert not any(record.exc_info for record in logged)


def test_elsewhere_the_document_for_programs_needs_a_token(start):
    client = start(listen={"public_url": "https://lethe.example.org"})
    assert client.get("/openapi.json").status_code == 401
    shown = client.get("/openapi.json", headers=bearer("clerk"))
    assert "/webhooks/{source}" in shown.json()["paths"]
