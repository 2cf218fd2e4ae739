import base64

import pytest

REPLY = {"issue": "PRIV-7"}
FIELDS = {"model": "'digits@champion'", "dataset": "'data/digits'", "classes": "classes"}


@pytest.fixture
def office(desk, jira):
    """Makes a desk whose tickets are issues of the local Jira."""

    def make(**answer):
        made = desk(
            sources={
                "desk": {
                    "kind": "jira",
                    "fields": FIELDS,
                    "answer": {"api": jira.url, "token": "env:T_TOKEN", **answer},
                }
            }
        )
        made.request = made.file("desk", REPLY)
        made.rounds()
        jira.app.comments.clear()
        jira.asked.clear()
        return made

    return make


def final(jira):
    return [c["body"] for c in jira.app.comments if "has ended" in c["body"]]


@pytest.mark.parametrize("answer", [{}, {"transition": "done"}, {"transition": "Finish"}])
def test_an_issue_is_commented_and_moved_to_done(office, jira, answer):
    made = office(**answer)
    made.carry_out(made.request)
    made.rounds()
    (text,) = final(jira)
    assert "{{digits/4}}" in text
    assert (jira.app.status, jira.app.moves) == ("Done", 1)


def test_a_personal_access_token_is_a_bearer_token(office, jira):
    made = office()
    made.carry_out(made.request)
    made.rounds()
    assert jira.asked[-1].headers["Authorization"] == "Bearer token-of-the-api"


def test_an_account_and_its_api_token_are_basic(office, jira):
    made = office(user="env:T_USER")
    made.carry_out(made.request)
    made.rounds()
    scheme, _, encoded = jira.asked[-1].headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded) == b"bot@example.org:token-of-the-api"


TROUBLES = {
    "posting fails": [("POST", "/comment", 500)],
    "limit": [("POST", "/comment", (429, {"Retry-After": "60"}))],
    "no answer": [("POST", "/comment", "hang")],
    "taken, no answer": [("POST", "/comment", "take and hang")],
    "taken, connection closed": [("POST", "/comment", "take and hang up")],
    "moved, connection closed": [("POST", "/transitions", "take and hang up")],
    "everything": [
        ("GET", "/comment", 401),
        ("POST", "/comment", "take and hang up"),
        ("GET", "/transitions", 503),
        ("POST", "/transitions", "take and hang"),
    ],
}


@pytest.mark.parametrize("troubles", TROUBLES.values(), ids=TROUBLES)
def test_whatever_fails_there_is_one_comment_and_one_transition_in_the_end(office, jira, troubles):
    made = office()
    jira.troubles.extend(troubles)
    made.carry_out(made.request)
    made.rounds()
    assert not jira.troubles
    assert len(final(jira)) == 1
    assert jira.app.moves == 1


def test_our_comment_is_found_on_a_later_page(office, jira):
    made = office()
    jira.app.page = 3
    jira.app.comments += [{"body": f"comment {n}"} for n in range(7)]
    jira.troubles.append(("POST", "/comment", "take and hang up"))
    made.carry_out(made.request)
    made.rounds()
    assert len(final(jira)) == 1


def test_a_transition_that_is_not_there_is_a_persons_to_mend(office, jira):
    made = office(transition="Fertig")
    made.carry_out(made.request)
    made.rounds()
    ((_kind, _key, _request, error, _at),) = made.ledger.letters_dead()
    assert error == "no transition of that name can be made"
    assert len(final(jira)) == 1
    assert jira.app.moves == 0
