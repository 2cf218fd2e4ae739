import base64
import json
from datetime import timedelta

import pytest
from standardwebhooks import Webhook

from lethe.deletion.ledger.types import ArrivalKind
from lethe.deletion.tickets.errors import BadTicketError, NotAuthenticError, SecretError
from lethe.deletion.tickets.standard import decode

MINUTE = timedelta(minutes=1)


def refused(get, *delivery, **more):
    with pytest.raises(NotAuthenticError) as caught:
        get(*delivery, **more)
    return caught.value.reason


def bad(get, *delivery):
    with pytest.raises(BadTicketError) as caught:
        get(*delivery)
    return caught.value


# GitHub


@pytest.mark.parametrize("event", ["ping", "issue_comment", "push", "", "Issues", "issues2"])
def test_github_events_that_are_no_issues_are_ignored(get, make, event):
    arrival = get("issues", *make.github({"zen": "Keep it logically awesome."}, event=event))
    assert (arrival.kind, arrival.ticket) == (ArrivalKind.IGNORE, None)


def test_a_comment_in_the_dress_of_an_issue_is_ignored(get, make):
    payload = make.issue_event(comment={"body": "x"})
    assert get("issues", *make.github(payload)).kind is ArrivalKind.IGNORE


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({}, "file"),
        ({"action": "opened"}, "ignore"),
        ({"label": {"name": "bug"}}, "ignore"),
        ({"action": "deleted"}, "cancel"),
        ({"action": "unlabeled"}, "cancel"),
    ],
)
def test_a_github_issue_means_what_the_policy_says(get, make, changed, kind):
    arrival = get("issues", *make.github(make.issue_event(**changed)))
    assert (arrival.kind, arrival.ticket) == (kind, "octo-org/privacy#7")


@pytest.mark.parametrize(
    "changed",
    [
        {"repository": None},
        {"repository": {"full_name": 7}},
        {"issue": None},
        {"issue": {"number": "7"}},
        {"issue": {"number": True}},
        {"action": None},
        {"repository": {"full_name": "quill@example.org"}},
        {"repository": {"full_name": "o/r\n"}},
    ],
)
def test_a_github_event_without_an_issue_is_refused(get, make, changed):
    assert bad(get, "issues", *make.github(make.issue_event(**changed))).reason == "shape"


@pytest.mark.parametrize("body", [None, "", 5])
def test_an_issue_without_a_form_is_unreadable(get, make, body):
    arrival = get("issues", *make.github(make.issue_event(issue={"number": 7, "body": body})))
    assert arrival.kind is ArrivalKind.UNREADABLE


# Jira


@pytest.mark.parametrize("name", ["comment_created", "jira:version_released", None, 5])
def test_jira_events_that_are_no_issues_are_ignored(get, make, name):
    assert get("desk", *make.jira(make.jira_event(webhookEvent=name))).kind is ArrivalKind.IGNORE


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("jira:issue_created", "file"),
        ("jira:issue_updated", "file"),
        ("jira:issue_deleted", "cancel"),
        ("jira:issue_renamed", "ignore"),
    ],
)
def test_a_jira_issue_means_what_the_policy_says(get, make, name, kind):
    arrival = get("desk", *make.jira(make.jira_event(webhookEvent=name)))
    assert (arrival.kind, arrival.ticket) == (kind, "PRIV-7")


@pytest.mark.parametrize("issue", [None, {}, {"key": 5}, {"key": ""}, {"key": "a b"}, []])
def test_a_jira_event_without_an_issue_is_refused(get, make, issue):
    assert bad(get, "desk", *make.jira(make.jira_event(issue=issue))).reason == "shape"


@pytest.mark.parametrize("prefix", ["sha1", "sha512", "SHA256", ""])
def test_jira_with_another_algorithm_is_refused(get, make, prefix):
    headers, body = make.jira(make.jira_event())
    digest = headers["x-hub-signature"].partition("=")[2]
    wrong = headers | {"x-hub-signature": f"{prefix}={digest}"}
    assert refused(get, "desk", wrong, body) == "signature_wrong"


@pytest.mark.parametrize(("minutes", "old"), [(0, False), (16, False), (60, False), (1441, True)])
def test_jiras_own_late_retries_are_taken(get, make, minutes, old):
    delivery = make.jira(make.jira_event())
    at = make.NOW + minutes * MINUTE
    if old:
        assert refused(get, "desk", *delivery, at=at) == "timestamp_old"
        assert get("desk", *delivery, at=at, tolerance=timedelta(days=2))
    else:
        assert get("desk", *delivery, at=at).kind is ArrivalKind.FILE


@pytest.mark.parametrize("moment", [0, 10**30, -(10**30)])
def test_a_jira_event_of_another_age_is_refused(get, make, moment):
    assert refused(get, "desk", *make.jira(make.jira_event(timestamp=moment))) == "timestamp_old"


@pytest.mark.parametrize("moment", ["now", True, 1.5, [1]])
def test_a_jira_time_that_is_none_is_refused(get, make, moment):
    assert bad(get, "desk", *make.jira(make.jira_event(timestamp=moment))).reason == "shape"


# Standard Webhooks


def test_what_the_library_signs_is_believed(get, make):
    body = json.dumps(make.standard_event())
    signature = Webhook(make.SECRETS["STANDARD_SECRET"]).sign("msg_9", make.NOW, body)
    headers, _ = make.standard(body.encode(), message="msg_9")
    arrival = get("hooks", headers | {"webhook-signature": signature}, body.encode())
    assert arrival.kind is ArrivalKind.FILE


def test_a_secret_without_the_prefix_is_used_as_it_is(get, make):
    key = make.SECRETS["MLFLOW_SECRET"].encode()
    assert get("raw-hooks", *make.standard(make.standard_event(), key=key))


@pytest.mark.parametrize(
    "around", ["{0} v1,AAAA", "v1,AAAA {0}", "v2,x {0}", "x {0} ,", "v1a,y {0}"]
)
def test_one_good_signature_among_several_will_do(get, make, around):
    headers, body = make.standard(make.standard_event())
    headers["webhook-signature"] = around.format(headers["webhook-signature"])
    assert get("hooks", headers, body)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.removeprefix("v1,"),
        lambda s: s.replace("v1,", "v2,"),
        lambda s: s.replace("v1,", "v1a,"),
        lambda s: s.replace("v1,", "V1,"),
        lambda s: s.replace("v1,", "v1, "),
        lambda s: s[:-1],
        lambda s: s[:-4],
        lambda s: s + "=",
        lambda s: s.rstrip("="),
        lambda s: s[:-2] + chr(ord(s[-2]) + 1) + "=",  # the same bytes, spelled otherwise
        lambda s: s.swapcase(),
        lambda s: "v1,",
        lambda s: ",",
        lambda s: "v1,\u00e4",
        lambda s: " ".join(["v1,AAAA"] * 16 + [s]),
        lambda s: "v1," + base64.b64encode(b"").decode(),
    ],
)
def test_a_wrong_standard_signature_is_refused(get, make, change):
    headers, body = make.standard(make.standard_event())
    headers["webhook-signature"] = change(headers["webhook-signature"])
    assert refused(get, "hooks", headers, body) == "signature_wrong"


def test_id_and_time_are_signed_too(get, make):
    headers, body = make.standard(make.standard_event())
    later = str(int(headers["webhook-timestamp"]) + 1)
    for change in ({"webhook-id": "msg_2"}, {"webhook-timestamp": later}):
        assert refused(get, "hooks", headers | change, body) == "signature_wrong"


@pytest.mark.parametrize(
    ("minutes", "tolerance", "old"),
    [
        (0, 5, False),
        (5, 5, False),
        (5.1, 5, True),
        (-5, 5, False),
        (-5.1, 5, True),
        (30, 60, False),
        (2, 1, True),
    ],
)
def test_the_replay_window_is_that_of_the_settings(get, make, minutes, tolerance, old):
    delivery = make.standard(make.standard_event(), at=make.NOW - minutes * MINUTE)
    more = {"tolerance": tolerance * MINUTE}
    if old:
        assert refused(get, "hooks", *delivery, **more) == "timestamp_old"
    else:
        assert get("hooks", *delivery, **more)


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        ("now", "timestamp_missing"),
        ("1.5e9", "timestamp_missing"),
        ("-1", "timestamp_missing"),
        ("\u0661\u0662", "timestamp_missing"),
        ("0", "timestamp_old"),
        ("9" * 12, "timestamp_old"),
        ("9" * 13, "timestamp_missing"),
    ],
)
def test_a_standard_time_that_is_none_is_refused(get, make, moment, reason):
    headers, body = make.standard(make.standard_event())
    assert refused(get, "hooks", headers | {"webhook-timestamp": moment}, body) == reason


@pytest.mark.parametrize("secret", [b"whsec_", b"whsec_!!!", b"whsec_c2hvcnQ=", b"whsec_\xff"])
def test_a_standard_secret_that_is_none_is_refused(secret):
    with pytest.raises(SecretError):
        decode(secret)


def test_a_standard_secret_may_lack_its_padding():
    key = b"seventeen bytes!!"
    assert decode(b"whsec_" + base64.b64encode(key).rstrip(b"=")) == key


@pytest.mark.parametrize(
    ("kind", "found"),
    [("deletion.requested", "file"), ("deletion.cancelled", "cancel"), ("model.created", "ignore")],
)
def test_a_standard_event_means_what_the_policy_says(get, make, kind, found):
    arrival = get("hooks", *make.standard(make.standard_event(type=kind)))
    assert (arrival.kind, arrival.ticket) == (found, "PRIV-7")


@pytest.mark.parametrize("ticket", [7, True, ["x"], "quill@example.org", "a b"])
def test_a_standard_ticket_that_is_no_key_is_refused(get, make, ticket):
    event = make.standard_event(data=make.fields(ticket=ticket))
    assert bad(get, "hooks", *make.standard(event)).reason == "shape"


# The plain API


@pytest.mark.parametrize("token", ["READER_TOKEN", "OTHER_TOKEN", "GITHUB_SECRET"])
def test_only_a_token_that_may_submit_to_this_source_is_believed(get, make, token):
    delivery = make.plain(make.fields(), token=make.SECRETS[token])
    assert refused(get, "portal", *delivery) == "signature_wrong"


def test_a_token_that_is_not_set_lets_nobody_in(get, make, monkeypatch):
    monkeypatch.delenv("PORTAL_TOKEN")
    assert refused(get, "portal", *make.plain(make.fields())) == "no_secret_configured"


def test_the_idempotency_key_may_be_quoted_as_in_the_draft(get, make):
    arrival = get("portal", *make.plain(make.fields(), key='"8e03978e"'))
    assert (arrival.delivery_id, arrival.ticket) == ("8e03978e", None)


@pytest.mark.parametrize("ticket", [7, ["x"], {}, "a b", "quill@example.org"])
def test_a_plain_ticket_that_is_no_key_is_refused(get, make, ticket):
    assert bad(get, "portal", *make.plain(make.fields(ticket=ticket))).reason == "shape"
