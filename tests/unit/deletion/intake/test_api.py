import json
from datetime import UTC, datetime

import pytest
from intake_client import bearer, issue, signed, submit

from lethe.data.forget_spec import ForgetSpec
from lethe.deletion.intake.api_views import view
from lethe.deletion.ledger.types import Entry
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State

URL = "/api/v1/requests"


def decide(client, request_id, word, name="dpo", **body):
    return client.post(f"{URL}/{request_id}/{word}", json=body, headers=bearer(name))


def test_a_request_is_filed_once_per_idempotency_key(client, ledger):
    first, again = submit(client), submit(client)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json() | {"reception": "repeated"}
    (entry,) = ledger.find()
    assert entry.id == first.json()["request_id"]
    assert entry.request.source == "portal"


def test_filing_needs_an_idempotency_key(client, ledger):
    answer = client.post(URL, json={}, headers=bearer("portal"))
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
    assert ledger.find() == []


def test_a_token_without_a_source_may_not_file(client):
    assert submit(client, "dpo").status_code == 403


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nobody", "Basic dXNlcjpw", "Bearer \xe9"])
def test_without_a_good_token_nothing_is_shown(client, header):
    headers = {"Authorization": header.encode("latin-1")} if header else {}
    for answer in (client.get(URL, headers=headers), client.get(f"{URL}/req-1", headers=headers)):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_whose_secret_is_not_set_is_nobodys(client, monkeypatch):
    monkeypatch.setenv("TEST_DPO", "")
    for header in ("Bearer ", "Bearer token-of-the-dpo-long-enough"):
        assert client.get(URL, headers={"Authorization": header}).status_code == 401


def test_a_token_sees_the_requests_of_its_source_alone(client):
    mine = submit(client, "portal").json()["request_id"]
    other = submit(client, "shop", subjects=["s-2"]).json()["request_id"]
    assert [r["id"] for r in client.get(URL, headers=bearer("portal")).json()["requests"]] == [mine]
    assert client.get(f"{URL}/{other}", headers=bearer("portal")).status_code == 404
    assert client.get(f"{URL}?source=shop", headers=bearer("portal")).json()["requests"] == []
    assert client.get(f"{URL}?after={other}", headers=bearer("portal")).status_code == 404
    assert decide(client, mine, "cancel", "shop").status_code == 404
    everything = client.get(URL, headers=bearer("dpo")).json()["requests"]
    assert [r["id"] for r in everything] == [other, mine]


def test_a_selection_is_never_shown(client):
    request_id = submit(client, subjects=["canary-7"]).json()["request_id"]
    for address in (URL, f"{URL}/{request_id}"):
        answer = client.get(address, headers=bearer("dpo"))
        assert answer.status_code == 200
        assert "canary" not in answer.text
    assert (answer.json()["selects"], answer.json()["purged_at"]) == ("subject", None)


def test_of_what_is_no_longer_kept_its_kind_and_the_date_are_shown():
    spec = ForgetSpec(dataset="data/digits")
    request = DeletionRequest(id="req-1", model="digits@champion", forget=spec)
    since = datetime(2027, 5, 21, tzinfo=UTC)
    entry = Entry(request, State.REFUSED, None, since, purged_at=since, selected_by="samples")
    shown = json.loads(view(entry).model_dump_json())
    assert (shown["selects"], shown["purged_at"]) == ("samples", "2027-05-21T00:00:00Z")


def test_requests_are_filtered_and_come_in_pages(client):
    ids = [submit(client, key=f"k-{n}", subjects=[f"s-{n}"]).json()["request_id"] for n in range(5)]
    client.post("/webhooks/issues", **signed(issue(subjects="s-9")))
    seen, after = [], None
    while True:
        query = {"source": "portal", "limit": 2} | ({"after": after} if after else {})
        page = client.get(URL, params=query, headers=bearer("dpo")).json()
        seen += [r["id"] for r in page["requests"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ids[::-1]
    decide(client, ids[0], "cancel")
    found = client.get(URL, params={"state": ["cancelled", "held"]}, headers=bearer("dpo")).json()
    assert [r["id"] for r in found["requests"]] == [ids[0]]
    for model, number in (("digits@champion", 6), ("other@champion", 0)):
        found = client.get(URL, params={"model": model}, headers=bearer("dpo")).json()
        assert len(found["requests"]) == number


def test_a_request_shows_its_history_and_the_days_left(client):
    request_id = submit(client).json()["request_id"]
    shown = client.get(f"{URL}/{request_id}", headers=bearer("portal")).json()
    assert [line["after"] for line in shown["history"]] == ["received", "awaiting_approval"]
    assert shown["history"][0]["actor"] == "intake:portal"
    assert 26 <= shown["days_left"] <= 31


def test_an_approver_approves_and_nobody_else(client, ledger):
    request_id = submit(client, "shop").json()["request_id"]
    for name in ("shop", "clerk"):
        assert decide(client, request_id, "approve", name).status_code == 403
    assert ledger.get(request_id).state is State.AWAITING_APPROVAL
    answer = decide(client, request_id, "approve")
    assert (answer.status_code, answer.json()["state"]) == (200, "approved")
    assert answer.json()["approvals"] == ["dpo"]
    assert ledger.get(request_id).history[-1].actor == "dpo"


def test_an_actor_who_is_no_approver_any_more_may_not_approve(client, monkeypatch):
    request_id = submit(client).json()["request_id"]
    policy = client.app.state.service.policy()
    emptied = policy.model_copy(
        update={"approval": policy.approval.model_copy(update={"approvers": ()})}
    )
    monkeypatch.setattr(client.app.state.service.policy, "_policy", emptied)
    assert decide(client, request_id, "approve").status_code == 403


def test_holding_and_releasing(client):
    request_id = submit(client).json()["request_id"]
    assert decide(client, request_id, "hold").status_code == 422
    held = decide(client, request_id, "hold", reason="Litigation 2026-4").json()
    assert (held["state"], held["reason"]) == ("held", "Litigation 2026-4")
    assert decide(client, request_id, "release").json()["state"] == "awaiting_approval"


def test_what_is_not_possible_now_is_a_conflict(client):
    request_id = submit(client).json()["request_id"]
    assert decide(client, request_id, "cancel").json()["state"] == "cancelled"
    answer = decide(client, request_id, "approve")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert "cancelled" in answer.json()["detail"]


@pytest.mark.parametrize("reason", ["", "a" * 201, "ada@example.org", "two\nlines", "\x00", 1])
def test_a_reason_is_one_line_without_an_address(client, reason):
    request_id = submit(client).json()["request_id"]
    answer = decide(client, request_id, "hold", reason=reason)
    assert answer.status_code == 422
    assert [f["field"] for f in answer.json()["fields"]] == ["body.reason"]
    assert "example.org" not in answer.text


def test_a_made_up_field_is_refused_without_its_name(client):
    request_id = submit(client).json()["request_id"]
    answer = decide(client, request_id, "hold", reason="why", canary="canary")
    assert answer.status_code == 422
    assert "canary" not in answer.text


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "state=nope", "model=a%00b@c", "after=a@b", "source=UPPER"]
)
def test_wrong_parameters_are_refused_without_their_values(client, query):
    answer = client.get(f"{URL}?{query}", headers=bearer("dpo"))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[" * 100_000, b'{"reason": ' + b"9" * 5000 + b"}"]
)
def test_a_body_that_is_no_json_is_refused(client, body):
    request_id = submit(client).json()["request_id"]
    headers = bearer("dpo") | {"Content-Type": "application/json"}
    answer = client.post(f"{URL}/{request_id}/hold", content=body, headers=headers)
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_answers_carry_the_headers_that_browsers_obey(client):
    for answer in (client.get("/healthz"), client.get("/nowhere"), client.get(URL)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


def test_there_is_a_description_and_no_page_for_it(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert "/webhooks/{source}" in paths
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_an_unknown_address_and_a_wrong_method_are_problems(client):
    for answer, status in ((client.get("/nowhere"), 404), (client.put(URL), 405)):
        assert answer.status_code == status
        assert answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
