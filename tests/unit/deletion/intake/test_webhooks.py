import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from intake_client import OTHER, SECRET, issue, signed

from lethe.deletion.ledger.errors import LedgerUnavailableError
from lethe.deletion.states import State

URL = "/webhooks/issues"


def test_an_authentic_ticket_is_in_the_ledger_when_it_is_answered(client, ledger):
    answer = client.post(URL, **signed(issue()))
    assert answer.status_code == 202
    (entry,) = ledger.find()
    assert answer.json() == {"request_id": entry.id, "reception": "filed"}
    assert entry.state is State.AWAITING_APPROVAL
    assert (entry.request.source, entry.request.ticket) == ("issues", "example/privacy#1")


def test_a_delivery_that_comes_again_is_known(client, ledger):
    first = client.post(URL, **signed(issue())).json()
    again = client.post(URL, **signed(issue())).json()
    assert again == first | {"reception": "repeated"}
    assert len(ledger.find()) == 1


def test_an_event_of_something_else_leaves_nothing(client, ledger):
    answer = client.post(URL, **signed({"zen": "Keep it logically awesome."}, event="ping"))
    assert answer.status_code == 202
    assert answer.json() == {"request_id": None, "reception": "ignored"}
    assert ledger.find() == []


def refusals():
    good = signed(issue())
    unsigned = {k: v for k, v in good["headers"].items() if k != "X-Hub-Signature-256"}
    anonymous = {k: v for k, v in good["headers"].items() if k != "X-GitHub-Delivery"}
    return {
        "unknown source": ("/webhooks/nobody", good),
        "no secret configured": ("/webhooks/unset", good),
        "the operator's own source": ("/webhooks/cli", good),
        "signature missing": (URL, good | {"headers": unsigned}),
        "signature wrong": (URL, signed(issue(), secret=OTHER)),
        "signature of another body": (URL, good | {"content": good["content"] + b" "}),
        "delivery id missing": (URL, good | {"headers": anonymous}),
    }


@pytest.mark.parametrize("why", refusals())
def test_whatever_is_not_authentic_gets_one_and_the_same_answer(client, ledger, why):
    url, delivery = refusals()[why]
    answer = client.post(url, **delivery)
    reference = client.post("/webhooks/nobody", content=b"{}")
    assert answer.status_code == reference.status_code == 401
    assert answer.content == reference.content
    number = answer.headers.pop("x-request-id")  # random, so it says nothing
    assert number != reference.headers.pop("x-request-id")
    assert set(answer.headers.items()) == set(reference.headers.items())
    assert ledger.find() == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"),
        (b"\xff{}", 400, "not_utf8"),
        (b"[]", 400, "not_an_object"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, 400, "too_deep"),
        (b'{"a":' * 100_000, 400, None),
        (b'{"a": "\\ud800"}', 400, "not_json"),
        (b'{"a": 1, "a": 2}', 400, "repeated_key"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "not_json"),
        (b'{"action": "labeled"}', 422, "shape"),
    ],
)
def test_an_authentic_body_that_is_no_ticket_is_refused_with_a_reason(client, body, status, code):
    answer = client.post(URL, **signed(body))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    if code:
        assert answer.json()["code"] == code


def test_another_content_type_is_refused(client):
    delivery = signed(issue())
    delivery["headers"]["Content-Type"] = "application/x-www-form-urlencoded"
    assert client.post(URL, **delivery).status_code == 415


def test_a_body_above_the_limit_is_refused_before_its_signature_is_looked_at(start, ledger):
    client = start(listen={"body_limit_kib": 1})
    assert client.post(URL, **signed(b"x" * 1025)).status_code == 413
    assert client.post(URL, content=b"x" * 1025).status_code == 413
    assert ledger.find() == []


def test_a_ticket_that_names_nothing_is_kept_for_a_person_and_the_field_is_told(client, ledger):
    payload = issue()
    payload["issue"]["body"] = "### Model\n\ndigits@champion\n\n### Subjects\n\ncanary@example.org"
    answer = client.post(URL, **signed(payload))
    assert answer.status_code == 422
    assert "dataset" in answer.json()["detail"]
    assert "canary" not in answer.text
    assert [u.ticket for u in ledger.unreadable()] == ["example/privacy#1"]
    assert ledger.find() == []


class Away:
    """A ledger whose database is away until it is told to come back."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.gone = True

    def __getattr__(self, name):
        return getattr(self.ledger, name)

    def accept(self, arrivals):
        if self.gone:
            raise LedgerUnavailableError("locked")
        return self.ledger.accept(arrivals)


def test_while_the_ledger_cannot_be_written_senders_are_told_to_come_back(
    start, ledger, monkeypatch
):
    monkeypatch.setattr("lethe.deletion.intake.app.PATIENCE", timedelta(seconds=0.2))
    away = Away(ledger)
    client = start(ledger=away)
    answer = client.post(URL, **signed(issue()))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    away.gone = False
    assert client.post(URL, **signed(issue())).json()["reception"] == "filed"


def lock(settings):
    """Another process in the middle of a write."""
    connection = sqlite3.connect(settings.state / "ledger.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_a_ticket_waits_for_a_ledger_that_is_locked_for_a_moment(client, ledger, settings):
    other = lock(settings)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.post, URL, **signed(issue()))
        with pytest.raises(TimeoutError):
            answer.result(timeout=0.3)
        other.rollback()
        assert answer.result(timeout=10).json()["reception"] == "filed"
    assert len(ledger.find()) == 1


def test_a_ticket_that_was_sent_away_from_a_locked_ledger_is_kept_once_when_it_comes_again(
    start, ledger, settings, monkeypatch
):
    monkeypatch.setattr("lethe.deletion.intake.app.PATIENCE", timedelta(seconds=0.2))
    client = start()
    other = lock(settings)
    assert client.post(URL, **signed(issue())).status_code == 503
    other.rollback()
    while (answer := client.post(URL, **signed(issue()))).status_code == 503:
        pass
    assert answer.json()["reception"] in {"filed", "repeated"}
    assert len(ledger.find()) == 1


def test_a_secret_is_changed_without_a_gap(client, settings, monkeypatch):
    """Both secrets hold while both are named."""
    monkeypatch.setenv("TEST_NEW", OTHER)
    text = settings.policy_file.read_text(encoding="utf-8")
    both = text.replace('"env:TEST_SECRET"', '"env:TEST_NEW", "env:TEST_SECRET"')
    settings.policy_file.write_text(both, encoding="utf-8")
    client.app.state.service.policy._clock = iter(range(10**6, 10**7)).__next__
    for number, secret in enumerate((SECRET, OTHER)):
        delivery = signed(issue(number + 1), delivery=f"d-{number}", secret=secret)
        answer = client.post(URL, **delivery)
        assert answer.status_code == 202


def test_nothing_of_a_ticket_is_in_the_log(client, caplog):
    caplog.set_level("DEBUG")
    client.post(URL, **signed(issue(subjects="canary-1")))
    client.post(URL + "?token=canary-2", content=b"canary-3", headers={"X-Name": "canary-4"})
    client.post("/webhooks/canary-5", content=b"{}")
    client.get("/api/v1/requests/canary-6")
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("lethe")]
    assert any("POST /webhooks/{source} 202" in line for line in lines)
    assert "canary" not in "".join(lines)
    assert "testclient" not in "".join(lines)


def test_an_error_nobody_foresaw_is_an_incident_without_what_was_sent(client, caplog, monkeypatch):
    def fail(*_args, **_options):
        try:
            {}["canary"]
        except KeyError as error:
            raise ValueError("canary") from error

    monkeypatch.setattr("lethe.deletion.intake.reception.receive", fail)
    answer = client.post(URL, **signed(issue()))
    assert answer.status_code == 500
    assert "canary" not in answer.text
    logged = "".join(r.getMessage() + str(r.exc_text) for r in caplog.records)
    assert answer.json()["incident"] in logged
    assert "builtins.ValueError" in logged
    assert "builtins.KeyError" in logged
    assert "test_webhooks.py" in logged
    # Lines of our own source may stand there; what was raised may not.
    for line in ("""{}["canary"]""", """raise ValueError("canary")"""):
        logged = logged.replace(line, "")
    assert "canary" not in logged
