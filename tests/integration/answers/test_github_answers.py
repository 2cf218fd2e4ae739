import pytest

from lethe.deletion.answers.github import github_sender
from lethe.deletion.ledger.types import Letter
from lethe.deletion.states import State
from lethe.keys import record_key

REPLY = {"repo": "acme/privacy", "number": 7}


@pytest.fixture
def office(desk, github):
    """A desk whose tickets are issues of the local GitHub; without the first answer."""
    made = desk(
        sources={
            "issues": {
                "kind": "github",
                "answer": {"api": github.url, "token": "env:T_TOKEN"},
            }
        }
    )
    made.request = made.file("issues", REPLY)
    made.rounds()
    github.app.comments.clear()
    github.asked.clear()
    return made


def final(github):
    return [c["body"] for c in github.app.comments if "has ended" in c["body"]]


def calls(github):
    return [(a.method, a.path.partition("?")[0].rpartition("/")[2]) for a in github.asked]


def test_an_issue_is_commented_and_closed(office, github):
    office.carry_out(office.request)
    office.rounds()
    (text,) = final(github)
    assert "It was carried out." in text
    assert "digits/4" in text
    assert (github.app.state, github.app.reason) == ("closed", "completed")
    headers = github.asked[-1].headers
    assert headers["Authorization"] == "Bearer token-of-the-api"
    assert headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert headers["Accept"] == "application/vnd.github+json"
    assert calls(github) == [
        ("GET", "comments"),
        ("POST", "comments"),
        ("GET", "7"),
        ("PATCH", "7"),
    ]


def test_the_first_answer_is_given_once(desk, github):
    source = {"kind": "github", "answer": {"api": github.url, "token": "env:T_TOKEN"}}
    made = desk(sources={"issues": source})
    first = made.file("issues", REPLY)
    made.file("issues", {**REPLY, "number": 8})
    made.rounds()
    one, two = (c["body"] for c in github.app.comments)
    assert "will be carried out" in one
    assert f"the same as `{first}`" in two
    assert github.app.closed == 0


@pytest.mark.parametrize("end", [State.REFUSED, State.FAILED])
def test_what_a_person_must_look_at_stays_open(office, github, end):
    office.carry_out(office.request, end=end)
    office.rounds()
    assert "A person looks at it" in final(github)[0]
    assert github.app.state == "open"


def test_without_close_the_issue_stays_open(desk, github):
    answer = {"api": github.url, "token": "env:T_TOKEN", "close": False}
    made = desk(sources={"issues": {"kind": "github", "answer": answer}})
    made.carry_out(made.file("issues", REPLY))
    made.rounds()
    assert len(final(github)) == 1
    assert github.app.closed == 0


def test_an_issue_that_somebody_closed_is_left_as_they_closed_it(office, github):
    github.app.state, github.app.reason = "closed", "not_planned"
    office.carry_out(office.request)
    office.rounds()
    assert len(final(github)) == 1
    assert github.app.reason == "not_planned"
    assert github.app.closed == 0


TROUBLES = {
    "listing fails": [("GET", "/comments", 500)],
    "posting fails": [("POST", "/comments", 502)],
    "limit with time": [("POST", "/comments", (429, {"Retry-After": "60"}))],
    "forbidden": [("POST", "/comments", 403)],
    "no answer": [("POST", "/comments", "hang")],
    "taken, no answer": [("POST", "/comments", "take and hang")],
    "taken, connection closed": [("POST", "/comments", "take and hang up")],
    "closing fails": [("PATCH", "/7", 500)],
    "closed, connection closed": [("PATCH", "/7", "take and hang up")],
    "everything": [
        ("GET", "/comments", "hang"),
        ("GET", "/comments", 500),
        ("POST", "/comments", (429, {"Retry-After": "60"})),
        ("POST", "/comments", "take and hang up"),
        ("GET", "/7", 403),
        ("PATCH", "/7", "take and hang"),
    ],
}


@pytest.mark.parametrize("troubles", TROUBLES.values(), ids=TROUBLES)
def test_whatever_fails_there_is_one_comment_and_one_closing_in_the_end(office, github, troubles):
    github.troubles.extend(troubles)
    office.carry_out(office.request)
    office.rounds()
    assert not github.troubles
    assert len(final(github)) == 1
    assert github.app.closed == 1
    assert office.ledger.letters_dead() == []


def test_our_comment_is_found_on_a_later_page(office, github):
    github.app.page = 3
    github.app.comments += [{"body": f"comment {n}"} for n in range(7)]
    github.troubles.append(("POST", "/comments", "take and hang up"))
    office.carry_out(office.request)
    office.rounds()
    assert len(final(github)) == 1


def test_a_strangers_copy_of_the_mark_keeps_no_answer_away(office, github):
    forged = f"<!-- lethe:{office.request}:completed:answer {'0' * 32} -->"
    github.app.comments.append({"body": forged})
    office.carry_out(office.request)
    office.rounds()
    assert len(final(github)) == 1


def test_a_ledger_restored_from_a_backup_does_not_answer_again(office, github):
    office.carry_out(office.request)
    office.rounds()
    # It has forgotten what it sent: the very same letter is on its first try.
    send = github_sender(office.policy, record_key(office.settings.record_key_file))
    payload = {**REPLY, "target": "issues", "body": "x", "close": "completed", "may_be_gone": False}
    send(Letter("github", f"{office.request}:completed:answer", payload, attempt=1))
    assert len(github.app.comments) == 1
    assert github.app.closed == 1


@pytest.mark.parametrize("status", [404, 410])
def test_an_issue_that_is_gone_is_given_up_and_listed(office, github, status):
    github.troubles.append(("GET", "/comments", status))
    office.carry_out(office.request)
    office.rounds()
    ((kind, key, request, error, _at),) = office.ledger.letters_dead()
    assert (kind, request, error) == ("github", office.request, f"HTTP {status}")
    assert final(github) == []
    office.ledger.revive(key)
    office.rounds()
    assert len(final(github)) == 1
    assert office.ledger.letters_dead() == []


def test_who_deletes_the_ticket_to_take_it_back_leaves_no_dead_letter(office, github):
    github.troubles.append(("GET", "/comments", 410))
    office.ledger.cancel(office.request, actor="intake:issues")
    office.rounds()
    assert office.ledger.letters_dead() == []


def test_a_repository_that_was_renamed_is_followed_on_the_same_server(office, github):
    moved = {"Location": f"{github.url}/repositories/1/issues/7/comments?per_page=100&page=1"}
    github.troubles.append(("GET", "/comments", (301, moved)))
    office.carry_out(office.request)
    office.rounds()
    assert any(a.path.startswith("/repositories/1/") for a in github.asked)
    assert len(final(github)) == 1


def test_a_redirect_to_another_server_does_not_get_the_token(office, github, receiver):
    moved = {"Location": f"{receiver.url}/repos/acme/privacy/issues/7/comments"}
    github.troubles.append(("GET", "/comments", (301, moved)))
    office.carry_out(office.request)
    office.rounds()
    assert receiver.asked == []
    assert len(final(github)) == 1
