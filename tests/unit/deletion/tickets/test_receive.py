import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lethe.deletion.ledger.types import ArrivalKind
from lethe.deletion.policy.model import Policy
from lethe.deletion.states import State
from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.errors import BadTicketError, NotAuthenticError
from lethe.deletion.tickets.receive import receive

SOURCES = ["issues", "desk", "controller", "hooks", "portal"]
same_fixtures = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)


def reason(get, *delivery, **more):
    with pytest.raises(NotAuthenticError) as caught:
        get(*delivery, **more)
    return caught.value.reason


@pytest.mark.parametrize(
    ("source", "delivery_id", "ticket", "subjects", "reply"),
    [
        (
            "issues",
            "d-1",
            "octo-org/privacy#7",
            ("p-1", "p-2"),
            {"repo": "octo-org/privacy", "number": 7},
        ),
        ("desk", "1f0c2a8e:4", "PRIV-7", ("p-1", "p-2"), {"issue": "PRIV-7"}),
        (
            "controller",
            "a7551968-d5d6-44b2-9831-815ac9017798",
            "a7551968-d5d6-44b2-9831-815ac9017798",
            ("p-1",),
            {
                "subject_request_id": "a7551968-d5d6-44b2-9831-815ac9017798",
                "status_callback_urls": ["https://controller.example.org/opendsr/callbacks"],
            },
        ),
        ("hooks", "msg_1", "PRIV-7", ("p-1",), {}),
        ("portal", "5f0c2a8e", "PRIV-7", ("p-1",), {}),
    ],
)
def test_an_authentic_ticket_is_filed(get, make, source, delivery_id, ticket, subjects, reply):
    arrival = get(source, *make.one_of_each()[source])
    assert (arrival.source, arrival.delivery_id, arrival.kind) == (
        source,
        delivery_id,
        ArrivalKind.FILE,
    )
    assert (arrival.ticket, arrival.reply) == (ticket, reply)
    request = arrival.request
    assert (request.model, request.forget.dataset) == ("digits@champion", "data/digits")
    assert request.forget.selection.subjects == subjects
    assert (request.source, request.ticket, request.received_at) == (source, ticket, make.NOW)
    assert request.regulation == ("ccpa" if source == "controller" else "gdpr")
    assert arrival.judgement.state is State.APPROVED
    assert arrival.judgement.policy.startswith("test-1@sha256:")


@pytest.mark.parametrize("source", SOURCES)
def test_a_ticket_of_one_source_is_not_believed_at_another(get, make, source):
    headers, body = make.one_of_each()[source]
    for other in [*SOURCES, "other-issues", "other-portal", "raw-hooks"]:
        if other != source:
            assert reason(get, other, headers, body)


@pytest.mark.parametrize(
    "source", ["unset", "nobody", "cli", "", "issues ", "ISSUES", "\u0456ssues"]
)
def test_without_a_secret_or_a_source_nothing_is_believed(get, make, source):
    found = reason(get, source, *make.one_of_each()["issues"])
    assert found == ("no_secret_configured" if source == "unset" else "source_unknown")


def test_a_stranger_cannot_tell_why(get, make):
    headers, body = make.one_of_each()["issues"]
    said = set()
    for source, changed in [
        ("nobody", {}),
        ("unset", {}),
        ("issues", {"X-Hub-Signature-256": "x"}),
        ("issues", {"X-GitHub-Delivery": ""}),
    ]:
        with pytest.raises(NotAuthenticError) as caught:
            get(source, headers | changed, body)
        said.add((type(caught.value), str(caught.value)))
    assert len(said) == 1


@pytest.mark.parametrize("value", ["short", None])
def test_a_misconfigured_secret_believes_nobody(get, make, monkeypatch, tmp_path, value):
    headers, body = make.one_of_each()["desk"]
    if value is None:
        monkeypatch.delenv("JIRA_SECRET")
        assert reason(get, "desk", headers, body) == "no_secret_configured"
    else:
        monkeypatch.setenv("JIRA_SECRET", value)
        headers["x-hub-signature"] = make.hex_of(value, body)
        assert reason(get, "desk", headers, body) == "secret_misconfigured"


def test_an_empty_secret_is_no_secret(get, make, monkeypatch):
    headers, body = make.one_of_each()["desk"]
    monkeypatch.setenv("JIRA_SECRET", "")
    headers["x-hub-signature"] = make.hex_of("", body)
    assert reason(get, "desk", headers, body) == "no_secret_configured"


def test_a_rotation_has_no_gap(make, monkeypatch):
    change = make.NOW
    policy = Policy.model_validate(
        {
            "version": "1",
            "sources": {
                "issues": {
                    "kind": "github",
                    "secrets": [
                        {"ref": "env:GITHUB_NEXT", "not_before": change - timedelta(hours=1)},
                        {"ref": "env:GITHUB_SECRET", "not_after": change + timedelta(hours=1)},
                    ],
                    "models": ["*"],
                    "datasets": ["*"],
                }
            },
        }
    )

    def accepted(name, hours):
        headers, body = make.github(make.issue_event(), secret=make.SECRETS[name])
        delivery = Delivery(headers, body, change + timedelta(hours=hours))
        try:
            receive(policy, "issues", delivery, tolerance=timedelta(minutes=5))
        except NotAuthenticError:
            return False
        return True

    old = [accepted("GITHUB_SECRET", hours) for hours in (-2, 0, 2)]
    new = [accepted("GITHUB_NEXT", hours) for hours in (-2, 0, 2)]
    assert (old, new) == ([True, True, False], [False, True, True])


@pytest.mark.parametrize("source", SOURCES)
def test_the_signature_is_checked_before_anything_is_parsed(get, make, source):
    headers, _ = make.one_of_each()[source]
    if source == "portal":
        headers["authorization"] = "Bearer wrong"
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        assert reason(get, source, headers, body) == "signature_wrong"


@pytest.mark.parametrize(
    ("body", "flaw"),
    [
        (b"", "not_json"),
        (b"[]", "not_an_object"),
        (b"\xff", "not_utf8"),
        (b'{"a": 1, "a": 1}', "repeated_key"),
        (b'{"a":' * 99 + b"1" + b"}" * 99, "too_deep"),
    ],
)
@pytest.mark.parametrize("source", SOURCES)
def test_an_authentic_body_that_is_no_ticket_is_refused(get, make, source, body, flaw):
    sign = {
        "issues": make.github,
        "desk": make.jira,
        "controller": make.opendsr,
        "hooks": make.standard,
        "portal": make.plain,
    }[source]
    with pytest.raises(BadTicketError) as caught:
        get(source, *sign(body))
    assert caught.value.reason == flaw


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain", "json"])
@pytest.mark.parametrize("source", SOURCES)
def test_another_content_type_is_refused_with_a_clear_reason(get, make, source, kind):
    headers, body = make.one_of_each()[source]
    headers = {k: v for k, v in headers.items() if k.lower() != "content-type"}
    if kind:
        headers["content-type"] = kind
    with pytest.raises(BadTicketError, match="content type must be application/json") as caught:
        get(source, headers, body)
    assert caught.value.reason == "content_type"


@pytest.mark.parametrize("source", SOURCES)
def test_header_names_are_read_in_any_case(get, make, source):
    headers, body = make.one_of_each()[source]
    for change in (str.upper, str.lower, str.title):
        assert get(source, {change(k): v for k, v in headers.items()}, body).kind == "file"


@pytest.mark.parametrize("source", SOURCES)
def test_a_header_that_comes_twice_is_refused(get, make, source):
    headers, body = make.one_of_each()[source]

    class Repeated(dict):
        def items(self):
            return [pair for pair in super().items() for _ in range(2 if pair[0] == name else 1)]

    for name in headers:
        if name.lower() not in {"content-type", "x-github-event"}:
            assert reason(get, source, Repeated(headers), body) == "header_repeated"


@pytest.mark.parametrize("source", SOURCES)
def test_every_header_that_counts_is_required(get, make, source):
    headers, body = make.one_of_each()[source]
    for name in headers:
        if name.lower() not in {"content-type", "x-github-event"}:
            rest = {k: v for k, v in headers.items() if k != name}
            assert str(reason(get, source, rest, body)).endswith("_missing")


@pytest.mark.parametrize("source", ["issues", "desk", "hooks", "portal"])
@pytest.mark.parametrize("value", ["quill@example.org", "a b", "\u00e4", "x" * 201, "-x", "a\nb"])
def test_a_delivery_id_that_could_be_a_text_is_refused(get, make, source, value):
    headers, body = make.one_of_each()[source]
    name = next(
        k
        for k in headers
        if k.lower()
        in {"x-github-delivery", "x-atlassian-webhook-identifier", "webhook-id", "idempotency-key"}
    )
    assert reason(get, source, headers | {name: value}, body) == "delivery_id_wrong"


def test_a_ticket_that_cannot_be_mapped_is_kept_as_unreadable(get, make):
    issue = {"number": 7, "body": "please forget Quill Featherstone"}
    arrival = get("issues", *make.github(make.issue_event(issue=issue)))
    assert (arrival.kind, arrival.problem) == (ArrivalKind.UNREADABLE, "model is missing")
    assert (arrival.ticket, arrival.request) == ("octo-org/privacy#7", None)
    assert arrival.reply == {"repo": "octo-org/privacy", "number": 7}


def test_an_expression_that_cannot_be_applied_loses_no_ticket(get, make):
    event = make.jira_event(issue={"key": "PRIV-7", "fields": {"labels": 5}})
    arrival = get("desk", *make.jira(event))
    assert arrival.kind is ArrivalKind.UNREADABLE
    assert "file_when" in arrival.problem


def test_a_field_that_is_filled_in_twice_widens_nothing(get, make):
    body = make.issue_event()["issue"]["body"] + "\n### Classes\n\n3\n\n### Subjects\n\np-9\n"
    arrival = get("issues", *make.github(make.issue_event(issue={"number": 7, "body": body})))
    assert (arrival.kind, arrival.problem) == (ArrivalKind.UNREADABLE, "subjects cannot be read")


def test_what_the_policy_rejects_is_filed_with_its_judgement(get, make):
    headers, body = make.plain(make.fields(model="watch@champion"))
    arrival = get("portal", headers, body)
    assert arrival.kind is ArrivalKind.FILE
    assert arrival.judgement.state is State.REJECTED


@pytest.mark.parametrize("source", ["issues", "desk", "controller", "hooks"])
@given(data=st.data())
@same_fixtures
def test_a_signed_body_that_is_altered_anywhere_is_refused(get, make, source, data):
    headers, body = make.one_of_each()[source]
    place = data.draw(st.integers(0, len(body) - 1))
    what = data.draw(st.sampled_from(["flip", "drop", "insert", "cut"]))
    byte = data.draw(st.integers(1, 255))
    altered = {
        "flip": body[:place] + bytes([body[place] ^ byte]) + body[place + 1 :],
        "drop": body[:place] + body[place + 1 :],
        "insert": body[:place] + bytes([byte]) + body[place:],
        "cut": body[:place],
    }[what]
    assert reason(get, source, headers, altered) == "signature_wrong"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4)
            | st.sampled_from(
                [
                    "action",
                    "issue",
                    "fields",
                    "key",
                    "number",
                    "repository",
                    "data",
                    "full_name",
                    "type",
                    "labels",
                    "webhookEvent",
                    "timestamp",
                    "label",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@pytest.mark.parametrize("source", SOURCES)
@given(change=st.dictionaries(st.integers(0, 12), json_values, max_size=4), cut=st.integers(0, 99))
@same_fixtures
def test_nothing_but_the_two_errors_is_ever_raised(get, make, source, change, cut):
    """Realistic tickets with parts replaced by anything, signed by their right sender."""
    sign, event = {
        "issues": (make.github, make.issue_event),
        "desk": (make.jira, make.jira_event),
        "controller": (make.opendsr, make.opendsr_request),
        "hooks": (make.standard, make.standard_event),
        "portal": (make.plain, make.fields),
    }[source]
    payload = event()
    for place, value in change.items():
        keys = list(payload)
        inner = payload[keys[place % len(keys)]]
        if isinstance(inner, dict) and inner and place % 2:
            inner[list(inner)[cut % len(inner)]] = value
        else:
            payload[keys[place % len(keys)]] = value
    headers, body = sign(json.dumps(payload).encode())
    try:
        arrival = get(source, headers, body)
    except (NotAuthenticError, BadTicketError):
        return
    assert (arrival.request is not None) == (arrival.kind is ArrivalKind.FILE)
    assert (arrival.problem is not None) == (arrival.kind is ArrivalKind.UNREADABLE)


@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "x-hub-signature-256",
                "x-hub-signature",
                "authorization",
                "webhook-id",
                "webhook-signature",
                "webhook-timestamp",
                "x-github-delivery",
                "idempotency-key",
                "x-atlassian-webhook-identifier",
                "content-type",
            ]
        )
        | st.text(max_size=9),
        st.text(max_size=30),
    ),
    body=st.binary(max_size=60),
    source=st.sampled_from(SOURCES) | st.text(max_size=9),
)
@same_fixtures
def test_a_strangers_delivery_is_never_believed(get, headers, body, source):
    with pytest.raises(NotAuthenticError):
        get(source, headers, body)
