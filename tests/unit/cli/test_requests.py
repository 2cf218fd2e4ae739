"""Every `lethe requests` command on a ledger of its own, as an operator types it."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.types import Facts, Letter, Outcome
from lethe.deletion.states import State
from lethe.keys import record_key
from lethe.settings import load_settings

POLICY = """
version = "test"
[approval]
approvers = ["dpo", "owner"]
needed = 1
[models.digits]
approve_always = true
[models.two]
approve_always = true
[sources.cli]
kind = "cli"
models = ["digits@*", "free@*"]
datasets = ["data/digits"]
"""


@pytest.fixture(autouse=True)
def policy(lethe, tmp_path):
    (tmp_path / "policy.toml").write_text(POLICY)


@pytest.fixture
def ledger(lethe):
    settings = load_settings()
    key = record_key(settings.record_key_file)
    with open_ledger(settings.ledger_url, key=key) as opened:
        yield opened


@pytest.fixture
def submit(lethe):
    def file(*words, model="digits@champion", classes="3"):
        asked = ("--dataset", "data/digits", "--classes", classes, "--json")
        code, out, err = lethe("requests", "submit", model, *asked, *words)
        assert code == 0, err
        return json.loads(out)

    return file


@pytest.fixture
def decide(lethe):
    """Run a command about one request: exit code and everything it said, on one line."""

    def run(command, request_id, *words):
        code, out, err = lethe("requests", command, request_id, *words)
        return code, " ".join((out + err).split())

    return run


def test_submit_says_where_the_request_stands_and_what_comes_next(lethe):
    words = ("digits@champion", "--dataset", "data/digits", "--classes", "3")
    code, out, err = lethe("requests", "submit", *words)
    request_id = out.split()[0]
    assert (code, out) == (
        0,
        f"{request_id} is awaiting_approval: each request to this model needs approval\n",
    )
    assert "1 approval still needed" in err
    assert f"lethe requests approve {request_id} --as dpo" in err


def test_the_same_again_is_a_duplicate_and_what_may_not_be_named_is_rejected(submit):
    first = submit()
    again = submit()
    assert (again["state"], again["duplicate_of"]) == ("duplicate", first["id"])
    assert submit(model="watch@champion")["state"] == "rejected"


def test_ids_of_people_are_read_from_a_file_and_never_printed(lethe, submit, tmp_path):
    (tmp_path / "people.txt").write_text("canary-1\ncanary-2\n")
    words = ("free@champion", "--dataset", "data/digits", "--subjects-file", "people.txt")
    code, out, err = lethe("requests", "submit", *words)
    assert (code, out.split()[1:3]) == (0, ["is", "approved:"])
    request_id = out.split()[0]
    for shown in (
        out + err,
        *lethe("requests", "list")[1:],
        *lethe("requests", "list", "--json")[1:],
        *lethe("requests", "show", request_id)[1:],
        *lethe("requests", "show", request_id, "--json")[1:],
    ):
        assert "canary" not in shown
    assert json.loads(lethe("requests", "show", request_id, "--json")[1])["forgets"] == "people"


def test_list_tells_requests_apart_by_state_model_and_source(lethe, submit):
    waiting = submit("--ticket", "PRIV-7")["id"]
    ready = submit(model="free@champion")["id"]

    def listed(*words):
        return [one["id"] for one in json.loads(lethe("requests", "list", *words, "--json")[1])]

    assert listed() == [ready, waiting]
    assert listed("--limit", "1") == [ready]
    assert listed("--state", "awaiting_approval") == [waiting]
    assert listed("--state", "awaiting_approval", "--state", "approved") == [ready, waiting]
    assert listed("--model", "free@champion") == [ready]
    assert listed("--source", "privacy-issues") == []
    code, out, err = lethe("requests", "list")
    assert code == 0
    assert "PRIV-7" in out
    assert "1 awaiting_approval" in err
    assert "1 approved" in err
    code, _, err = lethe("requests", "list", "--state", "waiting")
    assert code == 2
    assert "awaiting_approval" in err


def test_ids_and_states_are_not_broken_on_a_terminal_of_80_columns(lethe, submit, monkeypatch):
    """Or they could be neither searched for nor copied."""
    request_id = submit("--ticket", "example/privacy-requests#1234")["id"]
    monkeypatch.setattr("cli.output.out.width", 80)
    out = lethe("requests", "list")[1]
    assert request_id in out
    assert "awaiting_approval" in out
    assert max(map(len, out.splitlines())) <= 80


def test_an_empty_ledger_says_how_to_file_a_request(lethe):
    assert lethe("requests", "list") == (
        0,
        "",
        "No such request. File one with `lethe requests submit`.\n",
    )
    assert lethe("requests", "list", "--json")[1] == "[]\n"


def test_show_has_the_history_and_the_next_step(lethe, submit):
    request_id = submit()["id"]
    lethe("requests", "approve", request_id, "--as", "dpo")
    code, out, err = lethe("requests", "show", request_id)
    assert code == 0
    assert "approvals:         dpo (1 of 1)" in out
    assert "History (UTC)" in out
    assert "approved by dpo" in out
    assert "Next: It is carried out with the next scheduled run" in err
    assert "lethe requests process" in err
    history = json.loads(lethe("requests", "show", request_id, "--json")[1])["history"]
    assert [one["after"] for one in history] == ["received", "awaiting_approval", "approved"]
    assert history[-1]["actor"] == "dpo"


@pytest.mark.parametrize("request_id", ["req-000000000000", "Anna Example"])
def test_a_request_that_is_not_there_is_an_error_that_repeats_no_name(lethe, request_id):
    code, out, err = lethe("requests", "show", request_id)
    assert (code, out) == (8, "")
    assert "lethe requests list" in err
    assert "Anna" not in err


def test_who_may_not_approve_is_refused_and_told_who_may(submit, decide, ledger):
    request_id = submit()["id"]
    for words in ([], ["--as", "intern"]):
        code, said = decide("approve", request_id, *words)
        assert code == 2
        assert "may not approve. Nothing was changed. The policy names: dpo, owner." in said
    assert ledger.get(request_id).state is State.AWAITING_APPROVAL
    code, said = decide("approve", request_id, "--as", "dpo")
    assert (code, said.startswith(f"{request_id} is approved")) == (0, True)
    assert ledger.get(request_id).approvals == ("dpo",)


def test_approval_by_two_counts_up(lethe, tmp_path, submit, decide):
    (tmp_path / "policy.toml").write_text(POLICY.replace("needed = 1", "needed = 2"))
    request_id = submit()["id"]
    code, said = decide("approve", request_id, "--as", "dpo")
    assert code == 0
    assert said.startswith(f"{request_id} is awaiting_approval")
    assert "1 approval still needed" in said
    assert f"approve {request_id} --as owner" in said
    assert decide("approve", request_id, "--as", "owner")[1].startswith(f"{request_id} is approved")


def test_a_hold_stops_a_request_until_it_is_released(submit, decide, ledger):
    request_id = submit(model="free@champion")["id"]
    code, said = decide("hold", request_id, "--reason", "Litigation 2026-4", "--as", "dpo")
    assert code == 0
    assert f"lethe requests release {request_id}" in said
    held = ledger.get(request_id)
    assert (held.state, held.reason) == (State.HELD, "Litigation 2026-4")
    assert decide("release", request_id)[1].startswith(f"{request_id} is approved")
    assert ledger.get(request_id).history[-1].actor.startswith("cli:")


def test_reject_and_cancel_end_a_request(submit, decide, ledger):
    rejected, cancelled = submit()["id"], submit(classes="5")["id"]
    assert decide("reject", rejected, "--reason", "Identity was not shown", "--as", "dpo")[0] == 0
    assert decide("cancel", cancelled)[0] == 0
    assert ledger.get(rejected).state is State.REJECTED
    assert ledger.get(cancelled).state is State.CANCELLED
    code, said = decide("cancel", rejected)
    assert code == 8
    assert "left unchanged" in said


@pytest.mark.parametrize("command", ["hold", "reject"])
def test_what_stops_a_request_needs_a_reason(submit, decide, ledger, command):
    request_id = submit()["id"]
    assert decide(command, request_id)[0] == 2
    assert ledger.get(request_id).state is State.AWAITING_APPROVAL


def test_only_what_was_refused_or_failed_is_tried_again(submit, decide, ledger):
    from datetime import timedelta

    request_id = submit(model="free@champion")["id"]
    code, said = decide("retry", request_id)
    assert code == 8
    assert "only one that was refused or failed" in said
    batch = ledger.claim("worker-1", lease=timedelta(minutes=1), limit=10)
    refused = Outcome(State.REFUSED, "a gate failed", Facts(verdict="refused"))
    ledger.conclude(batch, {request_id: refused})
    assert decide("retry", request_id)[1].startswith(f"{request_id} is approved")


def test_a_deadline_is_moved_once_and_only_as_far_as_allowed(submit, decide, ledger):
    request_id = submit()["id"]
    entry = ledger.get(request_id)
    beyond = f"{entry.extendable_to.year + 1}-01-01"
    last = f"{entry.extendable_to:%Y-%m-%d}"
    assert decide("extend", request_id, beyond, "--reason", "Many at once")[0] == 8
    assert ledger.get(request_id).due_at == entry.due_at
    code, said = decide("extend", request_id, last, "--reason", "Many at once", "--as", "dpo")
    assert (code, said) == (0, f"{request_id} is awaiting_approval, due {last}")
    code, said = decide("extend", request_id, last, "--reason", "Again")
    assert code == 8
    assert "allowed once" in said


def test_letters_shows_what_is_owed_and_sends_again_what_was_given_up(lethe, ledger):
    assert lethe("requests", "letters")[2] == "Owed: nothing\n"
    ledger.enqueue([Letter("webhook", "req-1:completed:answer", {"body": "canary"}, "req-1")])
    assert "Owed: 1 webhook" in lethe("requests", "letters")[2]
    from datetime import timedelta

    (letter,) = ledger.letters_due("w", lease=timedelta(minutes=1), limit=1)
    ledger.not_sent(letter, "HTTP 410", None)
    code, out, err = lethe("requests", "letters")
    assert code == 0
    assert "HTTP 410" in out
    assert "canary" not in out + err
    assert "lethe requests letters --again KEY" in err
    given_up = json.loads(lethe("requests", "letters", "--json")[1])["given_up"]
    assert given_up[0][:3] == ["webhook", "req-1:completed:answer", "req-1"]
    assert lethe("requests", "letters", "--again", "nope")[0] == 8
    code, _, err = lethe("requests", "letters", "--again", "req-1:completed:answer")
    assert (code, err.splitlines()[0]) == (0, "Owed: 1 webhook")


@pytest.fixture
def flow(monkeypatch):
    """A stand-in for the flow, which takes seconds to import and needs a registry."""

    def ends(*batches, **weighed):
        done = [SimpleNamespace(**{"error": None, "successor": None, **one}) for one in batches]
        result = SimpleNamespace(
            weighed={"ready": 1, **weighed},
            batches=done,
            sent=2,
            unsent=1,
            model_dump=lambda mode: {"batches": [vars(one) for one in done]},
        )
        asked = []
        module = ModuleType("flows.deletion_requests")
        module.deletion_requests = lambda models: asked.append(models) or result
        monkeypatch.setitem(sys.modules, "flows.deletion_requests", module)
        return asked

    return ends


def test_process_tells_what_became_of_each_batch(lethe, flow):
    one = {"requests": ["a"], "model": "digits@champion", "successor": "digits/2", "verdict": "ok"}
    two = {"requests": ["b", "c"], "model": "free@champion", "verdict": None}
    asked = flow(one, two, awaiting_approval=3)
    code, out, err = lethe("requests", "process", "--model", "digits", "--model", "free")
    assert code == 0
    assert out.splitlines() == [
        "1 request for digits@champion: digits/2: ok",
        "2 requests for free@champion: forgotten before",
    ]
    assert err.splitlines() == ["3 awaiting approval", "2 answers sent, 1 still owed"]
    assert asked == [["digits", "free"]]


def test_process_without_anything_due_says_so(lethe, flow):
    flow()
    assert lethe("requests", "process")[:2] == (0, "Nothing was due.\n")


def test_process_exits_with_3_when_a_batch_was_not_carried_out(lethe, flow):
    flow({"requests": ["a"], "model": "digits@champion", "error": "A gate failed."})
    code, out, err = lethe("requests", "process")
    assert (code, out) == (3, "1 request for digits@champion: A gate failed.\n")
    assert "lethe requests list --state refused --state failed" in err
    code, out, _ = lethe("requests", "process", "--json")
    assert code == 3
    assert json.loads(out)["batches"][0]["error"] == "A gate failed."


def purged(ledger, decide, submit, months_later):
    """An ended request whose time has passed, and one that is open."""
    ended, waiting = submit(classes="3")["id"], submit(classes="5")["id"]
    assert decide("cancel", ended)[0] == 0
    months_later(7)
    return ended, waiting


@pytest.fixture
def months_later(ledger):
    """As if every end had been so many months earlier."""
    from dateutil.relativedelta import relativedelta
    from sqlalchemy import select, update

    from lethe.deletion.ledger.tables import requests

    def shift(months):
        def work(tx):
            (row,) = tx.sql.execute(select(requests).where(requests.c.ended_at.is_not(None)))
            before = row.ended_at - relativedelta(months=months)
            tx.sql.execute(update(requests).where(requests.c.id == row.id).values(ended_at=before))

        ledger._run.write(work)

    return shift


def test_purge_counts_first_and_then_empties_what_ended_long_ago(
    lethe, ledger, decide, submit, months_later
):
    ended, waiting = purged(ledger, decide, submit, months_later)
    words = "1 request and 0 letters {}emptied, 0 deliveries {}deleted"
    would = f"Ended 6 months ago or earlier: {words}\n".format(*["would be "] * 2)
    for _ in range(2):
        assert lethe("requests", "purge", "--dry-run") == (0, would, "")
    code, out, _ = lethe("requests", "purge", "--older-than", "12", "--json")
    counts = {"requests": 0, "letters": 0, "deliveries": 0}
    assert (code, json.loads(out)) == (0, {"months": 12, "dry_run": False, **counts})
    assert not ledger.get(ended).selection_gone
    assert lethe("requests", "purge")[1] == would.replace("would be ", "")
    assert [ledger.get(one).selection_gone for one in (ended, waiting)] == [True, False]
    assert ledger.get(ended).history[-1].actor.startswith("cli:")


def test_the_setting_says_for_how_long_it_is_kept(
    lethe, ledger, decide, submit, months_later, monkeypatch
):
    ended, _ = purged(ledger, decide, submit, months_later)
    monkeypatch.setenv("LETHE_LEDGER__PURGE_AFTER_MONTHS", "8")
    assert "8 months ago or earlier: 0 requests" in lethe("requests", "purge")[1]
    assert not ledger.get(ended).selection_gone


def test_of_what_was_purged_it_is_told_since_when(lethe, ledger, decide, submit, months_later):
    ended, _ = purged(ledger, decide, submit, months_later)
    lethe("requests", "purge")
    day = f"{ledger.get(ended).purged_at:%Y-%m-%d}"
    out = lethe("requests", "show", ended)[1]
    assert f"classes; what was selected is no longer kept (since {day})" in out
    shown = json.loads(lethe("requests", "show", ended, "--json")[1])
    assert (shown["forgets"], shown["purged_at"][:10]) == ("classes", day)
