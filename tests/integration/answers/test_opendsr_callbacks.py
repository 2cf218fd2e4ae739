import base64
import json
import logging
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.opendsr import opendsr_sender
from lethe.deletion.ledger.types import Letter
from lethe.deletion.states import State

SUBJECT = "0b7c8f4e-5a1d-4f3e-9c2b-7d6e5f4a3b2c"
FIELDS = {"model": "'digits@champion'", "dataset": "'data/digits'", "classes": "classes"}


@pytest.fixture(scope="session")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def office(desk, receiver, key, tmp_path):
    """A desk with one request of a controller that wants to be called back at `receiver`."""
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    answer = {
        "domain": "lethe.example.org",
        "key": f"file:{path}",
        "callbacks": [f"{receiver.url}/"],
    }
    made = desk(sources={"controller": {"kind": "opendsr", "fields": FIELDS, "answer": answer}})
    made.reply = {
        "subject_request_id": SUBJECT,
        "status_callback_urls": [f"{receiver.url}/callbacks/1"],
    }
    made.request = made.file("controller", made.reply)
    return made


def words(receiver):
    return [asked.json()["request_status"] for asked in receiver.app.messages]


def test_the_controller_is_told_of_each_word_in_order_and_signed(office, receiver, key):
    office.carry_out(office.request)
    office.rounds()
    assert words(receiver) == ["in_progress", "completed"]
    for asked in receiver.app.messages:
        signature = base64.b64decode(asked.headers["X-OpenDSR-Signature"])
        key.public_key().verify(signature, asked.body, padding.PKCS1v15(), hashes.SHA256())
        assert asked.headers["X-OpenDSR-Processor-Domain"] == "lethe.example.org"
    last = receiver.app.messages[-1].json()
    assert last["subject_request_id"] == SUBJECT
    assert last["status_callback_url"] == f"{receiver.url}/callbacks/1"
    assert last["extensions"] == {"lethe.example.org": {"state": "completed"}}


TROUBLES = {
    "fails": [("POST", "/1", 500)],
    "limit": [("POST", "/1", (429, {"Retry-After": "60"}))],
    "no answer": [("POST", "/1", "hang")],
    "everything": [("POST", "/1", "hang"), ("POST", "/1", 503), ("POST", "/1", 401)],
}


@pytest.mark.parametrize("troubles", TROUBLES.values(), ids=TROUBLES)
def test_whatever_fails_it_is_told_of_the_end_once(office, receiver, troubles):
    receiver.troubles.extend(troubles)
    office.carry_out(office.request)
    office.rounds()
    assert not receiver.troubles
    assert words(receiver).count("completed") == 1
    assert words(receiver)[-1] == "completed"


@pytest.mark.parametrize("trouble", ["take and hang", "take and hang up"])
def test_what_was_taken_without_an_answer_has_one_effect(office, receiver, trouble):
    office.ledger.cancel(office.request, actor="dpo")
    receiver.troubles.append(("POST", "/1", trouble))
    office.rounds()
    assert words(receiver) == ["cancelled", "cancelled"]
    # The body is the same to the byte, so for the receiver it is the same status again.
    assert len(receiver.app.effects) == 1


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_callback_that_is_refused_is_given_up(office, receiver, status):
    receiver.troubles.append(("POST", "/1", status))
    office.ledger.cancel(office.request, actor="dpo")
    office.rounds()
    assert words(receiver) == []
    assert [dead[3] for dead in office.ledger.letters_dead()] == [f"HTTP {status}"]


def test_a_redirect_is_not_followed(office, receiver):
    receiver.troubles.append(("POST", "/1", (307, {"Location": f"{receiver.url}/elsewhere"})))
    office.ledger.cancel(office.request, actor="dpo")
    office.deliver()
    assert [asked.path for asked in receiver.asked] == ["/callbacks/1"]
    assert words(receiver) == []


def test_an_old_word_does_not_come_after_a_new_one(office, receiver):
    receiver.troubles.append(("POST", "/1", 500))
    office.ledger.claim("killed", lease=timedelta(hours=1), limit=1, ids=[office.request])
    assert office.deliver().failed == 1  # in_progress
    office.later(hours=2)
    office.carry_out(office.request)
    office.rounds()
    assert words(receiver) == ["completed"]


def test_a_duplicate_is_told_the_word_of_its_original(office, receiver):
    other = "1b7c8f4e-5a1d-4f3e-9c2b-7d6e5f4a3b2c"
    reply = {"subject_request_id": other, "status_callback_urls": [f"{receiver.url}/callbacks/2"]}
    duplicate = office.file("controller", reply)
    assert office.ledger.get(duplicate).state == State.DUPLICATE
    office.carry_out(office.request)
    office.rounds()
    told = [m.json() for m in receiver.app.messages if m.path.endswith("/2")]
    assert [(t["subject_request_id"], t["request_status"]) for t in told] == [(other, "completed")]


def test_a_receiver_that_the_policy_does_not_name_gets_nothing(desk, receiver, caplog):
    made = desk(sources={"controller": {"kind": "opendsr", "fields": FIELDS}})
    url = f"{receiver.url}/callbacks/person-7"
    made.file("controller", {"subject_request_id": SUBJECT, "status_callback_urls": [url]})
    made.ledger.cancel(made.ledger.find()[0].id, actor="dpo")
    with caplog.at_level(logging.DEBUG):
        made.rounds()
    assert receiver.asked == []
    assert "private network" in made.ledger.letters_dead()[0][3]
    assert "person-7" not in json.dumps([*map(str, made.ledger.letters_dead()), caplog.text])


def test_a_name_is_called_at_the_address_that_was_checked_with_its_own_certificate(
    office, receiver, monkeypatch
):
    # The name does not exist: only the address that was looked up can have been called.
    port = receiver.url.rpartition(":")[2]
    source = office.policy.sources["controller"]
    named = f"https://cb.example.org:{port}/"
    answer = source.answer.model_copy(update={"callbacks": (named, "https://127.0.0.1/")})
    sources = {"controller": source.model_copy(update={"answer": answer})}
    policy = office.policy.model_copy(update={"sources": sources})
    send = opendsr_sender(policy, look_up=lambda _host, _port: ["127.0.0.1"])
    payload = {
        "target": "controller",
        "url": f"{named}x",
        "subject_request_id": SUBJECT,
        "state": "completed",
        "due_at": office.now.isoformat(),
    }
    with pytest.raises(SendError) as caught:
        send(Letter("opendsr", "k", payload))
    # It reached the plain server, which speaks no TLS.
    assert "Error" in caught.value.what
    assert not caught.value.permanent
