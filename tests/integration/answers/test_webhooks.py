import base64

import pytest
from standardwebhooks import Webhook

from lethe.deletion.answers.credentials import utc_now
from lethe.deletion.states import State

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="


@pytest.fixture
def office(desk, receiver):
    """A desk that notifies the receiver of every end, with one request in it."""
    made = desk(notify=[{"url": f"{receiver.url}/hook", "secret": "env:T_HOOK"}])
    made.request = made.file("cli", {})
    return made


def ids(receiver):
    return [asked.headers["webhook-id"] for asked in receiver.asked]


def test_the_library_of_the_standard_accepts_what_arrives(office, receiver):
    office.carry_out(office.request)
    office.rounds(clock=utc_now)
    (asked,) = receiver.app.messages
    told = Webhook(SECRET).verify(asked.body, asked.headers)
    assert told["type"] == "lethe.request.completed"
    assert told["data"]["request_id"] == office.request
    assert told["data"]["successor"] == "digits/4"


def test_a_secret_without_the_prefix_is_used_as_it_is(office, receiver, monkeypatch):
    monkeypatch.setenv("T_HOOK", "a-secret-without-the-prefix-then")
    office.carry_out(office.request)
    office.rounds(clock=utc_now)
    key = base64.b64encode(b"a-secret-without-the-prefix-then").decode()
    (asked,) = receiver.app.messages
    Webhook(key).verify(asked.body, asked.headers)


@pytest.mark.parametrize("trouble", [500, 400, 404, "hang", "take and hang", "take and hang up"])
def test_each_try_has_the_same_id_and_one_effect(office, receiver, trouble):
    receiver.troubles.extend([("POST", "/hook", trouble)] * 2)
    office.carry_out(office.request)
    office.rounds()
    assert len(ids(receiver)) == 3
    assert len(set(ids(receiver))) == 1
    assert len({asked.body for asked in receiver.asked}) == 1
    assert len({asked.headers["webhook-timestamp"] for asked in receiver.asked}) == 3
    assert len(receiver.app.effects) == 1


def test_a_target_that_is_gone_is_given_up(office, receiver):
    receiver.troubles.append(("POST", "/hook", 410))
    office.carry_out(office.request)
    office.rounds()
    assert [dead[3] for dead in office.ledger.letters_dead()] == ["HTTP 410"]


def test_a_redirect_is_not_followed(office, receiver):
    receiver.troubles.append(("POST", "/hook", (308, {"Location": f"{receiver.url}/elsewhere"})))
    office.carry_out(office.request)
    office.deliver()
    assert [asked.path for asked in receiver.asked] == ["/hook"]


def test_a_secret_that_is_being_replaced_delays_and_loses_nothing(office, receiver, monkeypatch):
    monkeypatch.delenv("T_HOOK")
    office.carry_out(office.request, end=State.REFUSED)
    assert office.deliver().failed == 1
    assert receiver.asked == []
    monkeypatch.setenv("T_HOOK", SECRET)
    office.later(hours=2)
    office.rounds()
    assert len(receiver.app.messages) == 1
