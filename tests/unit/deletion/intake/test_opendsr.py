import base64
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from intake_client import POLICY, TOKENS

from lethe.deletion.states import State

ID = "a7551968-d5d6-44b2-9831-815ac9017798"
URL = "/opendsr/controller"
SOURCE = """
[sources.controller]
kind = "opendsr"
secrets = ["env:TEST_DSR_SECRET"]
models = ["digits@*"]
datasets = ["data/*"]
[sources.controller.answer]
domain = "lethe.example.org"
key = "env:TEST_DSR_KEY"
"""
TOKEN = {"Authorization": "Bearer token-of-the-controller-long-enough"}


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def client(start, settings, key, monkeypatch):
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    monkeypatch.setenv("TEST_DSR_KEY", pem.decode())
    monkeypatch.setenv("TEST_DSR_SECRET", TOKEN["Authorization"].removeprefix("Bearer "))
    settings.policy_file.write_text(POLICY + SOURCE, encoding="utf-8")
    return start()


def asked(**changes):
    return {
        "regulation": "gdpr",
        "subject_request_id": ID,
        "subject_request_type": "erasure",
        "submitted_time": "2026-11-02T15:00:00Z",
        "subject_identities": [
            {
                "identity_type": "controller_customer_id",
                "identity_value": "canary",
                "identity_format": "raw",
            }
        ],
        "extensions": {"lethe": {"model": "digits@champion", "dataset": "data/digits"}},
    } | changes


def check_signature(answer, key):
    assert answer.headers["x-opendsr-processor-domain"] == "lethe.example.org"
    signature = base64.b64decode(answer.headers["x-opendsr-signature"])
    key.public_key().verify(signature, answer.content, padding.PKCS1v15(), hashes.SHA256())


def test_a_request_is_filed_and_answered_with_a_signature(client, ledger, key):
    answer = client.post(f"{URL}/requests", json=asked(), headers=TOKEN)
    assert answer.status_code == 201
    check_signature(answer, key)
    told = answer.json()
    assert told["controller_id"] == "controller"
    assert told["subject_request_id"] == ID
    assert json.loads(base64.b64decode(told["encoded_request"])) == asked()
    assert told["expected_completion_time"] > told["received_time"]
    (entry,) = ledger.find(source="controller")
    assert entry.request.ticket == ID
    assert client.post(f"{URL}/requests", json=asked(), headers=TOKEN).status_code == 201
    assert len(ledger.find()) == 1


@pytest.mark.parametrize("path", ["requests", "status"])
def test_the_status_can_be_asked_for(client, key, path):
    client.post(f"{URL}/requests", json=asked(), headers=TOKEN)
    answer = client.get(f"{URL}/{path}/{ID}", headers=TOKEN)
    assert answer.status_code == 200
    check_signature(answer, key)
    assert answer.json()["request_status"] == "pending"


def test_a_pending_request_is_taken_back_once(client, ledger, key):
    client.post(f"{URL}/requests", json=asked(), headers=TOKEN)
    for _ in range(2):
        answer = client.delete(f"{URL}/requests/{ID}", headers=TOKEN)
        assert answer.status_code == 202
        check_signature(answer, key)
    (entry,) = ledger.find()
    assert entry.state is State.CANCELLED
    status = client.get(f"{URL}/status/{ID}", headers=TOKEN).json()
    assert status["request_status"] == "cancelled"


def test_what_is_carried_out_is_not_taken_back(client, ledger):
    client.post(f"{URL}/requests", json=asked(), headers=TOKEN)
    (entry,) = ledger.find()
    ledger.approve(entry.id, actor="dpo")
    assert ledger.claim("worker", lease=timedelta(minutes=5), limit=1) is not None
    answer = client.delete(f"{URL}/requests/{ID}", headers=TOKEN)
    assert (answer.status_code, answer.json()["code"]) == (400, "too_late")
    assert ledger.get(entry.id).state is State.IN_PROGRESS


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"subject_request_type": "access"}, "unsupported"),
        ({"subject_request_id": "canary"}, "shape"),
        ({"submitted_time": "canary"}, "shape"),
        ({"extensions": {"lethe": {"model": "digits@champion"}}}, "unreadable"),
    ],
)
def test_what_cannot_be_carried_out_is_400_with_the_specifications_error(client, changes, code):
    answer = client.post(f"{URL}/requests", json=asked(**changes), headers=TOKEN)
    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert answer.json()["error"]["code"] == 400
    assert "canary" not in answer.text


@pytest.mark.parametrize("source", ["controller", "nobody", "portal", "issues"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_without_its_own_token_a_controller_is_a_stranger(client, ledger, source, method):
    path = f"/opendsr/{source}/requests" + ("" if method == "POST" else f"/{ID}")
    for headers in ({}, {"Authorization": f"Bearer {TOKENS['portal']}"}):
        body = asked() if method == "POST" else None
        answer = client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["code"] == "not_authentic"
    assert ledger.find() == []


def test_an_unknown_request_is_not_found(client):
    assert client.get(f"{URL}/status/{ID}", headers=TOKEN).status_code == 404
    assert client.delete(f"{URL}/requests/{ID}", headers=TOKEN).status_code == 404
    assert client.get(f"{URL}/status/canary", headers=TOKEN).status_code == 422


def test_discovery_is_for_everybody(client):
    told = client.get(f"{URL}/discovery").json()
    assert told["supported_subject_request_types"] == ["erasure"]
    assert told["processor_certificate"].startswith("https://lethe.example.org/")
    assert client.get("/opendsr/nobody/discovery").status_code == 404
    assert client.get("/opendsr/portal/discovery").status_code == 404


def test_without_a_key_a_request_is_kept_and_the_answer_comes_later(
    client, ledger, monkeypatch, key
):
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    monkeypatch.delenv("TEST_DSR_KEY")
    answer = client.post(f"{URL}/requests", json=asked(), headers=TOKEN)
    assert (answer.status_code, answer.json()["code"]) == (503, "not_signed")
    assert len(ledger.find()) == 1
    monkeypatch.setenv("TEST_DSR_KEY", pem.decode())
    assert client.post(f"{URL}/requests", json=asked(), headers=TOKEN).status_code == 201
