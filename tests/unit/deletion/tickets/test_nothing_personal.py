import json
import logging
import traceback

import pytest

from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.errors import BadTicketError, NotAuthenticError
from lethe.deletion.tickets.event import Event

CANARIES = [
    "Quillfeather",
    "quill.feather@example.org",
    "quillfeather42",
    "subject-canary-1",
    "subject-canary-2",
    "sample-canary-3",
    "My late mother's recordings",
    "Gallowglass Lane",
    "callback-canary",
]

FORM = """### Model

digits@champion

### Data set

data/digits

### Subjects

subject-canary-1
subject-canary-2

### Samples

sample-canary-3

### Reason

My late mother's recordings, sent from 7 Gallowglass Lane by Q. Quillfeather
"""


def github(make, **changed):
    return make.issue_event(
        issue={
            "number": 7,
            "title": "My late mother's recordings (Quillfeather)",
            "body": FORM,
            "user": {"login": "quillfeather42", "email": "quill.feather@example.org"},
            "labels": [],
        },
        sender={"login": "quillfeather42", "name": "Q. Quillfeather"},
        **changed,
    )


def jira(make, **changed):
    event = make.jira_event(
        user={"displayName": "Q. Quillfeather", "emailAddress": "quill.feather@example.org"},
        **changed,
    )
    event["issue"]["fields"] |= {
        "summary": "My late mother's recordings",
        "description": "7 Gallowglass Lane",
        "reporter": {"name": "quillfeather42"},
        "customfield_3": "subject-canary-1\nsubject-canary-2",
    }
    return event


def opendsr(make, **changed):
    return make.opendsr_request(
        subject_identities=[
            {
                "identity_type": "controller_customer_id",
                "identity_value": "subject-canary-1",
                "identity_format": "raw",
            },
            {
                "identity_type": "email",
                "identity_value": "quill.feather@example.org",
                "identity_format": "raw",
            },
        ],
        status_callback_urls=["https://controller.example.org/opendsr/callback-canary"],
        **changed,
    )


def fields(make, **changed):
    return make.fields(
        subjects=["subject-canary-1", "subject-canary-2"],
        samples=["sample-canary-3"],
        requester={"name": "Q. Quillfeather", "email": "quill.feather@example.org"},
        text="My late mother's recordings, 7 Gallowglass Lane",
        **changed,
    )


def deliveries(make):
    """Realistic tickets, and the same ones broken in every way that is told apart."""
    good = {
        "issues": (make.github, github(make)),
        "desk": (make.jira, jira(make)),
        "controller": (make.opendsr, opendsr(make)),
        "hooks": (make.standard, make.standard_event(data=fields(make, ticket="PRIV-7"))),
        "portal": (make.plain, fields(make)),
    }
    odd = [
        ("issues", make.github, github(make, action="deleted")),
        ("issues", make.github, github(make, action="edited")),
        ("issues", make.github, github(make, repository={"full_name": "Q. Quillfeather"})),
        ("desk", make.jira, jira(make, webhookEvent="comment_created")),
        ("desk", make.jira, jira(make, timestamp="Quillfeather")),
        ("desk", make.jira, jira(make, timestamp=0)),
        ("controller", make.opendsr, opendsr(make, subject_request_type="access")),
        ("controller", make.opendsr, opendsr(make, subject_request_id="Quillfeather")),
        ("controller", make.opendsr, opendsr(make, regulation="quillfeather42")),
        ("controller", make.opendsr, opendsr(make, extensions="Quillfeather")),
        ("hooks", make.standard, make.standard_event(data=fields(make, ticket=["Quillfeather"]))),
        ("hooks", make.standard, make.standard_event(data="Quillfeather")),
        ("portal", make.plain, fields(make, ticket="Q. Quillfeather")),
        ("portal", make.plain, fields(make, ticket="quill.feather@example.org")),
        ("portal", make.plain, fields(make, classes="Quillfeather")),
        ("portal", make.plain, fields(make, evaluation="data/Quillfeather")),
        ("portal", make.plain, fields(make, ground="Q. Quillfeather asked")),
        ("portal", make.plain, fields(make, rev="--Quillfeather")),
        ("portal", make.plain, fields(make, regulation="quillfeather42")),
        ("portal", make.plain, fields(make) | {"model": "quill.feather@example.org"}),
        ("portal", make.plain, fields(make) | {"dataset": "data/Quillfeather"}),
        ("portal", make.plain, fields(make) | {"subjects": "Quillfeather"}),
    ]
    for source, (sign, payload) in good.items():
        headers, body = sign(payload)
        yield source, headers, body
        yield "nobody", headers, body
        yield source, headers, body + b" "
        for broken in (
            body[:-1],
            body + b"\xff",
            body + b"{}",
            b"[" + body + b"]",
            body[:-1] + b', "a": {"quillfeather42": 1, "quillfeather42": 2}}',
        ):
            yield source, *sign(broken)
    for source, sign, payload in odd:
        yield source, *sign(json.dumps(payload).encode())


def everything_kept_by(error):
    """The texts that an exception, and those it was raised in, show or carry along."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
        for name in ("doc", "object", "msg"):
            yield repr(getattr(error, name, ""))
        yield "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__


def test_nothing_personal_is_shown_anywhere(get, make, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    shown, filed, failed = [], 0, 0
    for source, headers, body in deliveries(make):
        assert any(canary.encode() in body for canary in CANARIES)
        shown.append(repr(Delivery(headers, body, make.NOW)))
        try:
            arrival = get(source, headers, body)
        except (BadTicketError, NotAuthenticError) as error:
            failed += 1
            shown.extend(everything_kept_by(error))
        else:
            filed += arrival.request is not None
            shown.extend([repr(arrival), str(arrival), f"{arrival.request}", repr(arrival.problem)])
    assert filed > 5
    assert failed > 20
    shown += [caplog.text, *capfd.readouterr()]
    assert [(c, text) for text in shown for c in CANARIES if c.lower() in text.lower()] == []


def test_the_selection_is_there_all_the_same(get, make):
    arrival = get("issues", *make.github(github(make)))
    assert arrival.request.forget.selection.subjects == ("subject-canary-1", "subject-canary-2")


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_delivery_shows_neither_headers_nor_body(make, part):
    assert part not in repr(Delivery({"authorization": "x"}, b"y", make.NOW))


def test_an_event_shows_neither_payload_nor_reply():
    event = Event("d-1", payload={"name": "Quillfeather"}, reply={"url": "Quillfeather"})
    assert "Quillfeather" not in repr(event)
