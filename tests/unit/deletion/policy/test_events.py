import pytest

from lethe.deletion.ledger.types import ArrivalKind
from lethe.deletion.policy.errors import UnreadableTicketError
from lethe.deletion.policy.events import meaning

LABEL = {"name": "data-deletion"}
SOURCES = """
[sources.hub]
kind = "github"
[sources.desk]
kind = "jira"
[sources.desk.fields]
model = "a"
dataset = "b"
classes = "c"
[sources.partner]
kind = "opendsr"
[sources.hooks]
kind = "standard-webhooks"
"""


def jira(event, *labels):
    return {"webhookEvent": f"jira:issue_{event}", "issue": {"fields": {"labels": list(labels)}}}


@pytest.mark.parametrize(
    ("source", "payload", "kind"),
    [
        ("hub", {"action": "labeled", "label": LABEL}, "file"),
        ("hub", {"action": "labeled", "label": {"name": "bug"}}, "ignore"),
        ("hub", {"action": "opened"}, "ignore"),
        ("hub", {"action": "unlabeled", "label": LABEL}, "cancel"),
        ("hub", {"action": "unlabeled", "label": {"name": "bug"}}, "ignore"),
        ("hub", {"action": "deleted"}, "cancel"),
        ("hub", {"action": "closed", "issue": {"state_reason": "not_planned"}}, "cancel"),
        # Lethe itself closes it so.
        ("hub", {"action": "closed", "issue": {"state_reason": "completed"}}, "ignore"),
        ("hub", {}, "ignore"),
        ("desk", jira("created", "data-deletion"), "file"),
        ("desk", jira("updated", "data-deletion", "x"), "file"),
        ("desk", jira("created", "x"), "ignore"),
        ("desk", jira("deleted", "data-deletion"), "cancel"),
        ("desk", {"webhookEvent": "jira:issue_created", "issue": {"fields": {}}}, "ignore"),
        ("partner", {"subject_request_type": "erasure"}, "file"),
        ("partner", {"subject_request_type": "access"}, "ignore"),
        ("hooks", {"type": "deletion.requested"}, "file"),
        ("hooks", {"type": "deletion.cancelled"}, "cancel"),
        ("hooks", {"type": "model_version.created"}, "ignore"),
        ("portal", {}, "file"),
    ],
)
def test_what_events_mean_by_default(policy_of, source, payload, kind):
    assert meaning(policy_of(SOURCES).source(source), payload) is ArrivalKind(kind)


def test_what_both_files_and_cancels_cancels(policy_of):
    source = policy_of(
        '[sources.own]\nkind = "plain"\nfile_when = "`true`"\ncancel_when = "`true`"'
    ).source("own")
    assert meaning(source, {}) is ArrivalKind.CANCEL


@pytest.mark.parametrize(("value", "true"), [(0, True), ("x", True), ("", False), ([], False)])
def test_what_is_true_is_what_jmespath_calls_true(policy_of, value, true):
    source = policy_of('[sources.own]\nkind = "plain"\nfile_when = "a"').source("own")
    assert (meaning(source, {"a": value}) is ArrivalKind.FILE) is true


def test_an_event_that_cannot_be_told_apart_is_not_ignored(policy_of):
    source = policy_of('[sources.own]\nkind = "plain"\nfile_when = "contains(a, \'x\')"')
    with pytest.raises(UnreadableTicketError) as caught:
        meaning(source.source("own"), {"a": 71077})
    assert caught.value.problem == "file_when of the source cannot be applied"
