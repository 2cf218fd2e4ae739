from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.data.union import AnyOf
from lethe.deletion.intake.mlflow_links import Links, links
from lethe.deletion.intake.next_step import next_step
from lethe.deletion.intake.time_left import margin, time_left
from lethe.deletion.intake.view import by_urgency, detail, tallies
from lethe.deletion.intake.wording import (
    GROUPS,
    STATES,
    VERDICTS,
    amount,
    group_of,
    kind,
    machine,
    moment,
    percent,
)
from lethe.deletion.ledger.types import Entry, Facts, Move
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import ENDED, OPEN, State

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
RETRIABLE = {State.REFUSED, State.FAILED}


def an_entry(state=State.APPROVED, *, due=NOW + 30 * DAY, selection=None, **fields):
    selection = selection or Selection(subjects=("canary-1", "canary-2"))
    request = DeletionRequest(
        id=fields.pop("id", "req-1"),
        model="digits@champion",
        forget=ForgetSpec(dataset="data/digits", selection=selection),
        received_at=NOW - DAY,
    )
    return Entry(request, state, None, NOW, due_at=due, **fields)


def shown(entry, **changes):
    values = {
        "tracking_uri": None,
        "approvers": (),
        "original": None,
        "duplicates": (),
        "together": 0,
    }
    return detail(entry, NOW, **(values | changes))


def test_every_state_is_in_one_group_and_has_its_own_words():
    assert sorted(state for group in GROUPS for state in group.states) == sorted(State)
    assert len({words.title for words in STATES.values()}) == len(State)
    assert len({words.meaning for words in STATES.values()}) == len(State)
    assert len({group.key for group in GROUPS} | set(State)) == len(GROUPS) + len(State)


def test_who_looks_after_requests_finds_what_needs_a_person_first():
    assert GROUPS[0].states == (
        State.AWAITING_APPROVAL,
        State.HELD,
        State.REFUSED,
        State.FAILED,
        State.REGISTERED,
    )


@pytest.mark.parametrize(
    ("left", "words", "tone"),
    [
        (30 * DAY, "30 days left", "calm"),
        (7 * DAY + SECOND, "7 days left", "calm"),
        (7 * DAY, "7 days left", "soon"),
        (2 * DAY - SECOND, "1 day left", "soon"),
        (DAY, "1 day left", "soon"),
        (DAY - SECOND, "Less than a day left", "soon"),
        (0 * DAY, "Less than a day left", "soon"),
        (-SECOND, "Overdue by less than a day", "late"),
        (-DAY, "Overdue by 1 day", "late"),
        (-2 * DAY, "Overdue by 2 days", "late"),
        (-1200 * DAY, "Overdue by 1,200 days", "late"),
    ],
)
def test_days_left_at_their_boundaries(left, words, tone):
    time = time_left(an_entry(due=NOW + left), NOW)
    assert (time.words, time.tone, time.at) == (words, tone, NOW + left)


@given(st.sampled_from(sorted(OPEN)), st.timedeltas(timedelta(days=-99), timedelta(days=99)))
def test_an_open_request_is_overdue_when_its_deadline_has_passed_and_only_then(state, left):
    time = time_left(an_entry(state, due=NOW + left), NOW)
    assert (time.tone == "late") == time.words.startswith("Overdue") == (left < timedelta(0))


@pytest.mark.parametrize("state", sorted(ENDED - RETRIABLE))
def test_nothing_is_due_for_what_has_ended(state):
    time = time_left(an_entry(state, due=NOW - 9 * DAY), NOW)
    assert (time.words, time.tone, time.at) == ("Nothing is due", "none", None)


@pytest.mark.parametrize("state", sorted(RETRIABLE))
def test_what_failed_can_be_tried_again_until_the_deadline(state):
    assert time_left(an_entry(state, due=NOW + 9 * DAY), NOW).words == "9 days left to try again"
    over = time_left(an_entry(state, due=NOW - 9 * DAY), NOW)
    assert (over.words, over.tone) == ("Was due 12 Nov 2026", "none")


def test_a_duplicate_has_the_deadline_of_what_it_repeats():
    late = an_entry(State.DUPLICATE, due=NOW - DAY, duplicate_of="req-0")
    assert time_left(late, NOW).words == "With the other request"


def test_the_nearest_deadline_comes_first_and_none_last():
    none = an_entry(id="none", due=None)
    far, near = an_entry(id="far"), an_entry(id="near", due=NOW + DAY)
    late = an_entry(id="late", due=NOW - DAY)
    over = an_entry(State.FAILED, id="over", due=NOW - 9 * DAY)
    retry = an_entry(State.REFUSED, id="retry", due=NOW + 2 * DAY)
    found = by_urgency([none, far, over, late, retry, near], NOW)
    assert [e.id for e in found] == ["late", "near", "retry", "far", "none", "over"]


def test_a_margin_is_early_or_late():
    assert margin(NOW, NOW) == "Ended less than a day early"
    assert margin(NOW, NOW - 3 * DAY) == "Ended 3 days early"
    assert margin(NOW, NOW + DAY) == "Ended 1 day late"


def test_the_margin_counts_from_the_last_move_not_from_later_notes():
    moves = (
        Move(NOW - 5 * DAY, "cli", None, State.RECEIVED),
        Move(NOW - 3 * DAY, "worker", State.PROMOTED, State.COMPLETED),
        Move(NOW, "dpo", State.COMPLETED, State.COMPLETED, "filed away"),
    )
    entry = an_entry(State.COMPLETED, due=NOW - DAY, history=moves)
    assert shown(entry).deadline == "Ended 2 days early"
    assert [line.what for line in shown(entry).history] == ["Filed", "Completed", "Note"]


selections = st.builds(
    Selection,
    classes=st.none() | st.just(("canary-a", "canary-b")),
    subjects=st.none() | st.just(("canary-c",)),
    samples=st.none() | st.just(("canary-d", "canary-e")),
).filter(lambda s: s.lists())


@given(selections | st.lists(selections, min_size=1).map(lambda parts: AnyOf(parts=tuple(parts))))
def test_what_is_shown_of_a_selection_holds_no_value_of_it(selection):
    entry = an_entry(selection=selection)
    everything = f"{kind(entry.request.forget)} {amount(entry.request.forget)} {shown(entry)}"
    assert "canary" not in everything


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"classes": 1}, "all of 1 class"),
        ({"subjects": 2}, "the rows of 2 people"),
        ({"samples": 1}, "1 single row"),
        ({"subjects": 1, "classes": 2}, "the rows of 1 person in 2 classes"),
        ({"samples": 2000, "subjects": 1}, "2,000 single rows of 1 person"),
    ],
)
def test_a_selection_is_counted(lists, words):
    lists = {name: tuple(map(str, range(n))) for name, n in lists.items()}
    assert amount(ForgetSpec(dataset="data/digits", selection=Selection(**lists))) == words


def test_a_whole_data_set_is_said_to_be_one():
    spec = ForgetSpec(dataset="data/forget", whole=True)
    assert (kind(spec), amount(spec)) == ("A whole data set", "the whole data set")


@pytest.mark.parametrize("state", [State.COMPLETED, *sorted(RETRIABLE)])
def test_a_selection_that_is_no_longer_kept_is_said_to_be_gone_and_since_when(state):
    entry = an_entry(state, purged_at=NOW, selected_by="subject")
    bare = entry.request.forget.model_copy(update={"selection": None})
    entry = replace(entry, request=entry.request.model_copy(update={"forget": bare}))
    seen = shown(entry)
    assert dict(seen.asked)["To be forgotten"] == (
        "Rows of people. What was selected is no longer kept (since 21 Nov 2026)."
    )
    assert seen.row.kind == "Rows of people"
    # It is not offered to be tried again, which the ledger refuses.
    assert seen.step.commands == ()
    assert ("cannot be tried again" in seen.step.text) == (state in RETRIABLE)


def test_a_whole_data_set_is_named_as_ever_after_a_purge():
    whole = ForgetSpec(dataset="data/forget", whole=True)
    entry = an_entry(State.COMPLETED, purged_at=NOW)
    entry = replace(entry, request=entry.request.model_copy(update={"forget": whole}))
    assert dict(shown(entry).asked)["To be forgotten"] == "the whole data set"


@given(st.floats(0, 1))
def test_percent_says_none_and_all_only_when_it_is_so(share):
    assert (percent(share) == "0 %") == (share == 0)
    assert (percent(share) == "100 %") == (share == 1)


def test_times_are_in_utc_and_say_so():
    at = datetime(2026, 11, 21, 1, 30, tzinfo=UTC).astimezone(
        datetime.strptime("-0500", "%z").tzinfo
    )
    assert moment(at) == "21 Nov 2026, 01:30 UTC"
    assert machine(at) == "2026-11-21T01:30:00Z"


@pytest.mark.parametrize("state", sorted(State))
def test_every_state_has_a_next_step(state):
    step = next_step(an_entry(state, approvals_needed=1, held_from=State.APPROVED), ["dpo"])
    assert step.text.endswith((".", ":"))
    assert all("req-1" in command or "process" in command for command in step.commands)


def test_the_next_step_of_what_needs_a_person_names_a_command():
    facts = Facts(successor="digits/4")
    for state in GROUPS[0].states:
        assert next_step(an_entry(state, facts=facts), []).commands, state
    step = next_step(an_entry(State.REGISTERED, facts=facts), [])
    assert step.commands == ("lethe model promote digits/4",)


def test_the_commands_of_next_steps_are_commands():
    import typer

    from cli.main import app

    known = typer.main.get_command(app).commands
    for state in State:
        entry = an_entry(state, facts=Facts(successor="digits/4"))
        for command in next_step(entry, ["dpo"]).commands:
            _, group, name, *_ = command.split()
            assert name in known[group].commands


def test_missing_approvals_and_approvers_are_named():
    entry = an_entry(State.AWAITING_APPROVAL, approvals_needed=3, approvals=("dpo",))
    step = next_step(entry, ["dpo", "model-owner"])
    assert step.text == "2 approvals still needed. The policy lets dpo, model-owner approve."
    assert step.commands[0] == "lethe requests approve req-1 --as model-owner"
    assert shown(entry).approvals == "1 of 3"


def test_the_verdict_says_no_more_than_was_measured():
    entry = an_entry(State.COMPLETED, facts=Facts(verdict="suppressed", rows=2, forget_accuracy=0))
    assert "do not call it erased" in shown(entry).verdict
    assert shown(entry).forgot == (
        "Of this request's own 2 training rows, the new version still recognises 0 %."
    )
    assert shown(an_entry(facts=Facts(verdict="unheard-of"))).verdict is None


def test_every_verdict_has_words_and_suppressed_never_says_erased_of_itself():
    from lethe.evaluation.verdict import Verdict

    assert set(VERDICTS) == {verdict.value for verdict in Verdict}
    assert "do not call it erased" in VERDICTS["suppressed"]


def test_links_lead_to_a_server_without_credentials():
    facts = Facts(
        parent="team/digits/3",
        successor="digits/4",
        verdict="suppressed",
        run_id="abc",
        statement="f" * 64,
    )
    found = links("https://user:secret@mlflow.example.org/base/?token=x", facts)
    assert found.parent == "https://mlflow.example.org/base/#/models/team%2Fdigits/versions/3"
    assert found.successor == "https://mlflow.example.org/base/#/models/digits/versions/4"
    assert found.run == "https://mlflow.example.org/base/#/runs/abc"
    assert found.report.endswith("/base/get-artifact?path=report.html&run_uuid=abc")
    assert found.statement.endswith("/base/get-artifact?path=statement.json&run_uuid=abc")


def test_a_run_that_failed_has_no_certificate_to_link():
    found = links("https://mlflow.example.org", Facts(parent="digits/3", run_id="abc"))
    assert found.run == "https://mlflow.example.org/#/runs/abc"
    assert (found.report, found.statement, found.certificate) == (None, None, None)


def test_a_certificate_is_linked_where_the_record_has_one():
    facts = Facts(verdict="suppressed", run_id="abc", statement="f" * 64)
    it = shown(
        an_entry(facts=facts),
        tracking_uri="https://mlflow.example.org",
        certificate="certificates/req-1.html",
    )
    assert it.links.certificate == (
        "https://mlflow.example.org/get-artifact?path=certificates%2Freq-1.html&run_uuid=abc"
    )
    assert shown(an_entry(facts=facts), tracking_uri="https://x").links.certificate is None
    assert shown(an_entry(facts=facts), certificate="certificates/req-1.html").links == Links()


@pytest.mark.parametrize("uri", [None, "sqlite:///mlflow.db", "/some/folder", "databricks"])
def test_there_are_no_links_where_mlflow_is_no_server(uri):
    found = links(uri, Facts(parent="digits/3", successor="digits/4", run_id="abc"))
    assert not any(vars(found).values())


def test_a_tally_counts_a_group_and_leaves_empty_states_out():
    counts = dict.fromkeys(State, 0) | {State.HELD: 2, State.FAILED: 1}
    found = tallies(counts, GROUPS)
    assert [tally.total for tally in found] == [3, 0, 0, 0]
    assert [state for state, _, _ in found[0].states] == [State.HELD, State.FAILED]
    assert group_of(State.HELD) is found[0].group
