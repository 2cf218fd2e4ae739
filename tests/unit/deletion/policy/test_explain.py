import json
from dataclasses import asdict

import pytest

from lethe.choosing import outline
from lethe.deletion.policy.explain import explain
from lethe.deletion.policy.fields import TicketFields
from lethe.settings import Settings

CANARY = "quixote-7731"
POLICY = """
[approval]
approvers = ["dpo", "owner"]
[[holds]]
reason = "Litigation 2026-4"
models = ["held@*"]
[models.careful]
approve_always = true
[models.digits]
at_once = true
quarantine = true
approve_above = { class = 0.5 }
refuse_above = { dataset = 0.25 }
complete_when = "registered"
ladder = [ {method = "pte", options = {edited_share = 0.6}}, {retrain = true} ]
[sources.hub]
kind = "github"
models = ["digits@*", "held@*", "careful@*"]
datasets = ["data/digits"]
[sources.hub.answer]
token = "env:HUB_TOKEN"
[[notify]]
url = "https://hooks.example.org/T0/secret-path"
secret = "env:NOTIFY_SECRET"
on = ["completed"]
"""
FORM = {"model": "digits", "data_set": "data/digits", "classes": "3, 5"}


def ticket(action="labeled", **form):
    return {"action": action, "label": {"name": "data-deletion"}, "form": FORM | form}


@pytest.fixture
def explained(policy_of, now):
    def make(payload, source="hub"):
        return explain(policy_of(POLICY), source, payload, now=now, settings=Settings())

    return make


def finding(explanation, name):
    return next(step.finding for step in explanation.steps if step.step == name)


def test_every_step_is_told_with_what_says_so(explained):
    found = explained(ticket())
    assert found.leads_to == "approved"
    by = {step.step: (step.finding, step.by) for step in found.steps}
    assert by["event"][0].startswith("asks for a deletion")
    assert by["event"][1] == "sources.hub.file_when"
    assert by["field model"] == ("digits@champion", "form.model")
    assert by["field classes"] == ("2 found", "split(form.classes)")
    assert by["field subjects"] == ("not there", "split(form.subjects)")
    assert by["allowed"][0] == "yes"
    assert by["legal hold"][0] == "none"
    assert by["deadline"] == ("2026-12-21 08:30 UTC", "gdpr")
    assert by["extendable to"][0] == "2027-02-21 08:30 UTC"
    assert by["carried out"] == ("at once", "models.digits.at_once")
    assert by["until then"][1] == "models.digits.quarantine"
    assert by["shares"][0] == "approval above 0.5 of a class; rejected above 0.25 of the data set"
    assert by["ladder"][0] == "pte (edited_share = 0.6), then retrain"
    assert by["promotion"][0] == ("the alias moves when the gates pass; completed when registered")
    assert by["answer"][0] == "comment and close, api.github.com"
    assert by["notification"][0] == "hooks.example.org of completed"


@pytest.mark.parametrize(
    ("payload", "leads_to", "step", "said"),
    [
        (ticket("deleted"), "cancel", "event", "takes the ticket back"),
        (ticket("opened"), "ignore", "event", "is ignored"),
        (ticket(model=None), "unreadable", "ticket", "model is missing"),
        (ticket(classes={"repeated": True}), "unreadable", "field classes", "cannot be read"),
        (ticket(classes=None), "unreadable", "ticket", "nothing is selected"),
        (ticket(model="other"), "rejected", "allowed", "may not name this model"),
        (ticket(data_set="data/other"), "rejected", "allowed", "may not name this data set"),
        (ticket(model="held/3"), "rejected", "allowed", "may not name this model"),
        (ticket(model="held"), "held", "legal hold", "Litigation 2026-4"),
        (ticket(model="careful"), "awaiting_approval", "approval", "1 of dpo, owner"),
    ],
)
def test_what_a_ticket_leads_to(explained, payload, leads_to, step, said):
    found = explained(payload)
    assert found.leads_to == leads_to
    assert said in finding(found, step)


def test_what_is_rejected_is_not_carried_out(explained):
    steps = {step.step for step in explained(ticket(model="other")).steps}
    assert "ladder" not in steps
    assert "answer" in steps


def test_fields_can_be_given_without_a_payload(explained):
    fields = TicketFields("digits@champion", "data/digits", classes=("3",))
    found = explained(fields)
    assert found.leads_to == "approved"
    assert not any(step.step.startswith("field") for step in found.steps)


@pytest.mark.parametrize(
    "change",
    [
        {"model": f"{CANARY}@example.org"},
        {"data_set": f"people/{CANARY}"},
        {"classes": CANARY},
        {"subjects": f"{CANARY}, b"},
        {"samples": [CANARY, {}]},
        {"model": f"{CANARY} {CANARY}"},
    ],
)
def test_nothing_of_a_ticket_that_is_not_allowed_is_shown(explained, change):
    text = json.dumps(asdict(explained(ticket(**change))))
    assert CANARY not in text
    assert "secret-path" not in text


def test_an_explanation_says_what_the_judgement_says(policy_of, request_of, now):
    policy = policy_of()
    found = explain(
        policy,
        "portal",
        {"model": "watch", "dataset": "data/watch", "subjects": [7]},
        now=now,
        settings=Settings(),
    )
    assert found.leads_to == "approved"
    assert found.policy == policy.label
    assert finding(found, "answer") == "none"


AUTO = POLICY.replace('ladder = [ {method = "pte"', 'ladder = [ {method = "auto"}, {method = "pte"')


def test_what_auto_may_try_is_told_step_by_step_before_anything_runs(policy_of, now):
    budget = Settings(unlearning={"search_budget": 6})
    found = explain(policy_of(AUTO), "hub", ticket(), now=now, settings=budget)
    assert finding(found, "ladder") == "auto, then pte (edited_share = 0.6), then retrain"
    told = [step.finding for step in found.steps if step.step.startswith("auto, step")]
    assert told == list(outline("class"))
    assert finding(found, "search") == "up to 6 trials before each edit"


def test_auto_in_the_settings_is_told_too_and_depends_on_what_is_selected(policy_of, now):
    auto = Settings(unlearning={"method": "auto"})
    for form, kind in (({}, "class"), ({"classes": "", "subjects": "1, 2"}, "subject")):
        asked = ticket(model="careful", **form)
        found = explain(policy_of(POLICY), "hub", asked, now=now, settings=auto)
        told = [step.finding for step in found.steps if step.step.startswith("auto, step")]
        assert told == list(outline(kind)), found
        assert all(step.step != "search" for step in found.steps)
