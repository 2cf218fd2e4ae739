import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.deletion.answers import compose
from lethe.deletion.answers.announce import announcer
from lethe.deletion.ledger.types import Facts, Move
from lethe.deletion.states import ANSWERED, MOVES, State

DONE = Facts(
    rows=178,
    share=0.1,
    missing=3,
    parent="digits/3",
    successor="digits/4",
    verdict="suppressed",
    run_id="r",
    statement="ab" * 32,
    forget_accuracy=0.0,
)


def text_of(entry, settings, **more):
    return compose.markdown(compose.ended(entry, settings, **more))


@pytest.mark.parametrize("state", sorted(ANSWERED))
def test_every_end_has_a_text_of_its_own(entry, settings, state):
    text = text_of(entry(state=state), settings)
    others = {text_of(entry(state=other), settings) for other in ANSWERED - {state}}
    assert "req-0123456789ab" in text
    assert text not in others


def test_a_completed_request_names_the_versions_the_verdict_and_the_record(entry, settings):
    text = text_of(entry(state=State.COMPLETED, facts=DONE), settings)
    for part in ("`digits/4`", "`digits/3`", "`suppressed`", "ab" * 32):
        assert part in text
    assert "https://lethe.example.org/requests/req-0123456789ab" in text


def test_suppressed_says_that_hidden_layers_may_still_hold_it(entry, settings):
    text = text_of(entry(state=State.COMPLETED, facts=DONE), settings)
    assert "Its hidden layers may still hold it" in text


@pytest.mark.parametrize("verdict", [None, "refused", "another"])
def test_without_a_verdict_nothing_is_claimed(entry, settings, verdict):
    facts = replace(DONE, verdict=verdict)
    text = text_of(entry(state=State.COMPLETED, facts=facts), settings)
    assert "verdict" not in text
    assert "hidden layers" not in text


@pytest.mark.parametrize("state", [State.REFUSED, State.FAILED])
def test_what_was_not_forgotten_is_said_and_that_a_person_looks_at_it(entry, settings, state):
    text = text_of(entry(state=state, facts=replace(DONE, verdict="refused")), settings)
    assert "is not forgotten" in text
    assert "The model stays as it was" in text
    assert "A person looks at it" in text
    assert "digits/4" not in text


@pytest.mark.parametrize("state", sorted(ANSWERED))
def test_counts_stay_inside(entry, settings, state):
    # On a public ticket they would tell whether somebody is in the data.
    text = text_of(entry(state=state, facts=DONE), settings).replace("ab" * 32, "")
    assert "178" not in text
    assert "missing" not in text


def test_the_end_of_a_duplicate_is_that_of_its_original(entry, settings):
    original = replace(entry(state=State.COMPLETED, facts=DONE), reason=None)
    request = original.request.model_copy(update={"id": "req-other"})
    duplicate = replace(entry(state=State.DUPLICATE), request=request)
    text = text_of(duplicate, settings, original=original)
    assert "`req-other` asks for the same as `req-0123456789ab`" in text
    assert "`digits/4`" in text
    assert "requests/req-other" in text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.APPROVED, "will be carried out"),
        (State.AWAITING_APPROVAL, "A person has to approve"),
        (State.HELD, "on hold"),
        (State.DUPLICATE, "the same as `req-first`"),
    ],
)
def test_the_first_answer_says_where_filing_put_it(entry, settings, state, words):
    asked = entry(state=state, duplicate_of="req-first" if state == State.DUPLICATE else None)
    asked = replace(asked, due_at=asked.request.received_at)
    text = compose.markdown(compose.taken_in(asked, settings))
    assert words in text
    assert "2026-11-21" in text


def test_a_hold_keeps_its_reason_to_itself(entry, settings):
    held = entry(state=State.HELD, reason="legal hold: Litigation 2026-4")
    assert "Litigation" not in compose.markdown(compose.taken_in(held, settings))


def test_the_policys_reason_is_told_a_persons_is_not(entry, settings):
    moved = Move(entry().updated_at, "intake:issues", State.RECEIVED, State.REJECTED, "no model")
    assert compose.told_reason(moved) == "no model"
    for by_person in (
        replace(moved, actor="dpo"),
        replace(moved, before=State.AWAITING_APPROVAL),
        replace(moved, after=State.CANCELLED),
    ):
        assert compose.told_reason(by_person) is None


def test_a_reason_cannot_bring_markup(entry, settings):
    text = text_of(entry(state=State.REJECTED), settings, reason="<!-- x --> @all [a](b) {c} `d`")
    told = text.split("Reason: ")[1].split("\n")[0]
    assert not set("<>!@[](){}`") & set(told)


@pytest.mark.parametrize("model", ["<!--/1", "a`b@c", "{code}/1", "*x*/2"])
def test_a_model_that_is_no_name_is_left_out(entry, settings, model):
    asked = entry()
    request = asked.request.model_copy(update={"model": model})
    text = compose.markdown(compose.taken_in(replace(asked, request=request), settings))
    assert model not in text


def test_jira_gets_wiki_markup(entry, settings):
    text = compose.wiki(compose.ended(entry("desk", State.COMPLETED, facts=DONE), settings))
    assert "{{digits/4}}" in text
    assert "`" not in text


def test_without_a_public_address_there_is_no_link(entry):
    from lethe.settings import Settings

    assert "http" not in text_of(entry(state=State.COMPLETED), Settings())


def test_a_notification_holds_what_programs_need(entry, settings):
    moved = Move(entry().updated_at, "worker", State.PROMOTED, State.COMPLETED)
    told = compose.notification(entry(state=State.COMPLETED, facts=DONE), moved, settings)
    assert told["type"] == "lethe.request.completed"
    assert told["timestamp"] == "2026-11-21T12:00:00+00:00"
    assert told["data"] == {
        "request_id": "req-0123456789ab",
        "state": "completed",
        "before": "promoted",
        "source": "issues",
        "model": "digits@champion",
        "verdict": "suppressed",
        "parent": "digits/3",
        "successor": "digits/4",
        "statement_sha256": "ab" * 32,
        "due_at": None,
        "duplicate_of": None,
        "url": "https://lethe.example.org/requests/req-0123456789ab",
    }


moves = st.sampled_from(
    [(a, b) for a, after in MOVES.items() for b in after] + [(None, "received")]
)
canaries = st.text(min_size=1, max_size=20).map(lambda t: f"canary{t}canary")


@settings(max_examples=150, deadline=None)
@given(moves, st.sampled_from(["issues", "desk", "portal", "bus", "removed"]), canaries, canaries)
def test_no_letter_says_who_or_why(tools, step, source, person, reason):
    entry, policy, options = tools
    before, after = step
    asked = entry(source, State(after), subjects=(person,), at_once=True, reason=reason)
    moved = Move(asked.updated_at, "dpo", before and State(before), State(after), reason)
    asked = replace(asked, reply={**asked.reply, "title": person, "sender": {"login": person}})
    for letter in announcer(policy, options)(asked, moved):
        said = json.dumps([letter.key, dict(letter.payload)], ensure_ascii=False)
        assert "canary" not in said


@pytest.fixture(scope="session")
def tools(entry, policy, settings):
    return entry, policy, settings
