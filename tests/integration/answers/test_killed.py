"""The deliverer ends at the worst moment: what it sent has arrived, and it could not note so."""

import json
import subprocess
import sys
from datetime import timedelta

import pytest

WAIT = 60
# A deliverer in a process of its own, with the ledger and the policy of the test.
CHILD = """
import json, sys
from datetime import timedelta
from pathlib import Path
from lethe.deletion.answers.announce import announcer
from lethe.deletion.answers.deliver import deliver
from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.policy.model import Policy
from lethe.keys import record_key
from lethe.settings import Settings

folder = Path(sys.argv[1])
settings = Settings(home=folder)
policy = Policy.model_validate(json.loads(sys.argv[2]))
key = record_key(settings.record_key_file)
with open_ledger(f"sqlite:///{folder / 'ledger.db'}", key=key) as ledger:
    deliver(ledger, policy, settings, worker="child")
"""
FIELDS = {"model": "'digits@champion'", "dataset": "'data/digits'", "classes": "classes"}


def kill_while_sending(office, server):
    """Let a process send until the server has taken something, and kill it before it learns so."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(office.folder), json.dumps(office.table)]
    )
    try:
        assert server.taken.wait(WAIT)
    finally:
        child.kill()
        child.wait(WAIT)
    server.over.set()
    assert not server.troubles


def after_the_lease(office):
    office.later(hours=1)
    office.rounds()


def test_between_the_comment_and_its_note(desk, github):
    answer = {"api": github.url, "token": "env:T_TOKEN"}
    office = desk(sources={"issues": {"kind": "github", "answer": answer}})
    request = office.file("issues", {"repo": "acme/privacy", "number": 7})
    office.rounds()
    office.carry_out(request)
    github.troubles.append(("POST", "/comments", "take and hang"))
    kill_while_sending(office, github)
    assert office.deliver().sent == 0  # leased by the one that is gone
    assert len(github.app.comments) == 2
    after_the_lease(office)
    assert len(github.app.comments) == 2
    assert (github.app.closed, github.app.reason) == (1, "completed")


def test_between_the_comment_and_its_note_on_jira(desk, jira):
    answer = {"api": jira.url, "token": "env:T_TOKEN"}
    office = desk(sources={"desk": {"kind": "jira", "fields": FIELDS, "answer": answer}})
    request = office.file("desk", {"issue": "PRIV-7"})
    office.rounds()
    office.carry_out(request)
    jira.troubles.append(("POST", "/comment", "take and hang"))
    kill_while_sending(office, jira)
    after_the_lease(office)
    assert len(jira.app.comments) == 2
    assert jira.app.moves == 1


def test_between_the_notification_and_its_note(desk, receiver):
    office = desk(notify=[{"url": f"{receiver.url}/hook", "secret": "env:T_HOOK"}])
    office.carry_out(office.file("cli", {}))
    receiver.troubles.append(("POST", "/hook", "take and hang"))
    kill_while_sending(office, receiver)
    after_the_lease(office)
    assert len(receiver.app.messages) == 2
    assert len(receiver.app.effects) == 1


@pytest.mark.parametrize("source", ["issues", "cli"])
def test_between_the_end_of_an_original_and_the_answers_of_its_duplicates(
    desk, github, monkeypatch, source
):
    answer = {"api": github.url, "token": "env:T_TOKEN"}
    office = desk(sources={"issues": {"kind": "github", "answer": answer}})
    reply = {"repo": "acme/privacy", "number": 1} if source == "issues" else {}
    original = office.file(source, reply)
    for number in (2, 3):
        office.file("issues", {"repo": "acme/privacy", "number": number})
    office.rounds()
    github.app.comments.clear()
    office.carry_out(original)
    office.deliver(limit=0)

    # Killed after it owed the first of them: the whole work is done again.
    class KilledError(BaseException):
        pass

    enqueue = type(office.ledger).enqueue

    def once(ledger, letters):
        enqueue(ledger, letters[:1])
        raise KilledError

    monkeypatch.setattr(type(office.ledger), "enqueue", once)
    with pytest.raises(KilledError):
        office.deliver()
    monkeypatch.undo()
    monkeypatch.setenv("T_TOKEN", "token-of-the-api")
    office.later(seconds=timedelta(minutes=30).total_seconds())
    office.rounds()
    wanted = [1, 2, 3] if source == "issues" else [2, 3]
    posted = [a.path for a in github.asked if a.method == "POST" and b"ended" in a.body]
    assert sorted(posted) == [f"/repos/acme/privacy/issues/{n}/comments" for n in wanted]
