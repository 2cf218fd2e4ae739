import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from pydantic import ValidationError

from lethe.deletion.ledger.types import ArrivalKind
from lethe.deletion.states import ENDED, State
from lethe.deletion.tickets import opendsr, opendsr_reply
from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.errors import BadTicketError, NotAuthenticError, SecretError
from lethe.deletion.tickets.opendsr_models import Callback, Discovery, SupportedIdentity

BODY = b'{"controller_id": "controller"}'
DUE = datetime(2026, 12, 21, 12, tzinfo=UTC)


def bad(get, make, **changed):
    payload = {k: v for k, v in make.opendsr_request(**changed).items() if v is not ...}
    with pytest.raises(BadTicketError) as caught:
        get("controller", *make.opendsr(payload))
    return caught.value


def test_the_example_of_the_specification_is_read(get, make):
    # Section 7.2; its regulation is missing there although section 7.1 requires one.
    request = make.opendsr_request(
        submitted_time="2018-10-02T15:00:00Z", api_version="1.0", regulation=...
    )
    payload = {k: v for k, v in request.items() if v is not ...}
    arrival = get("controller", *make.opendsr(payload))
    assert arrival.request.regulation == "gdpr"
    assert arrival.request.received_at == make.NOW


@pytest.mark.parametrize("kind", ["access", "portability"])
def test_only_erasure_is_carried_out(get, make, kind):
    error = bad(get, make, subject_request_type=kind)
    assert error.reason == "unsupported"
    assert "subject_request_type" in error.detail


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject_request_id", ...),
        ("subject_request_id", "A7551968-D5D6-44B2-9831-815AC9017798"),
        ("subject_request_id", "a7551968-d5d6-14b2-9831-815ac9017798"),
        ("subject_request_id", "a7551968d5d644b29831815ac9017798"),
        ("subject_request_id", "a7551968-d5d6-44b2-9831-815ac9017798\n"),
        ("subject_request_id", 7),
        ("subject_request_type", ...),
        ("subject_request_type", "Erasure"),
        ("subject_request_type", None),
        ("submitted_time", ...),
        ("submitted_time", "yesterday"),
        ("submitted_time", "2026-11-20T15:00:00"),
        ("submitted_time", 1),
        ("submitted_time", "1"),
        ("regulation", 7),
        ("regulation", "quill@example.org"),
        ("subject_identities", "p-1"),
        ("subject_identities", ["p-1"]),
        ("subject_identities", [{"identity_type": "email", "identity_value": "x"}]),
        (
            "subject_identities",
            [
                {
                    "identity_type": "email",
                    "identity_value": "quillfeather",
                    "identity_format": "rot13",
                }
            ],
        ),
        (
            "subject_identities",
            [{"identity_type": "email", "identity_value": 7, "identity_format": "raw"}],
        ),
        ("status_callback_urls", "https://controller.example.org/opendsr"),
        ("status_callback_urls", [7]),
        ("status_callback_urls", ["https://controller.example.org/opendsr"] * 17),
        ("extensions", [1]),
    ],
)
def test_what_is_not_as_specified_is_refused_by_its_name_alone(get, make, field, value):
    error = bad(get, make, **{field: value})
    assert (error.reason, error.detail) == ("shape", f"missing or not as specified: {field}")
    assert error.__context__ is None


def test_somebody_must_be_named(get, make):
    for nobody in ([], ...):
        error = bad(get, make, subject_identities=nobody, extensions=...)
        assert "subject_identities" in error.detail


def test_identities_the_mapping_does_not_use_are_no_selection(get, make):
    only = [{"identity_type": "email", "identity_value": "q@example.org", "identity_format": "raw"}]
    arrival = get("controller", *make.opendsr(make.opendsr_request(subject_identities=only)))
    assert (arrival.kind, arrival.problem) == (ArrivalKind.UNREADABLE, "nothing is selected")


@pytest.mark.parametrize(
    "url",
    [
        "http://controller.example.org/opendsr",
        "https://evil.example.org/quillfeather",
        "https://controller.example.org/",
        "https://169.254.169.254/",
    ],
)
def test_a_callback_elsewhere_is_refused_without_its_url(get, make, url):
    error = bad(get, make, status_callback_urls=[url])
    assert "status_callback_urls" in error.detail
    assert url not in str(error)


def test_the_secret_may_be_shown_instead_of_signing(get, make):
    _, body = make.opendsr(make.opendsr_request())
    shown = {
        "content-type": "application/json",
        "authorization": "Bearer " + make.SECRETS["OPENDSR_SECRET"],
    }
    assert get("controller", shown, body).kind is ArrivalKind.FILE
    # Who shows a wrong one is not believed for a right signature beside it.
    headers, body = make.opendsr(make.opendsr_request())
    with pytest.raises(NotAuthenticError):
        get("controller", headers | {"authorization": "Bearer wrong"}, body)


def test_what_has_no_body_must_show_the_secret(policy, make):
    source = policy.source("controller")
    shown = {"authorization": "Bearer " + make.SECRETS["OPENDSR_SECRET"]}
    opendsr.authenticate_without_body(policy, source, Delivery(shown, b"", make.NOW))
    signed = {"x-hub-signature-256": make.hex_of(make.SECRETS["OPENDSR_SECRET"], b"")}
    for headers in (signed, {}, {"authorization": "Bearer " + make.SECRETS["PORTAL_TOKEN"]}):
        with pytest.raises(NotAuthenticError):
            opendsr.authenticate_without_body(policy, source, Delivery(headers, b"", make.NOW))


def test_a_request_is_taken_back_by_its_id(make):
    arrival = opendsr.cancellation("controller", make.SUBJECT_REQUEST_ID)
    assert (arrival.kind, arrival.ticket) == (ArrivalKind.CANCEL, make.SUBJECT_REQUEST_ID)
    assert arrival.delivery_id != make.SUBJECT_REQUEST_ID


def test_every_state_has_a_word_and_only_one_is_called_completed():
    words = {state: opendsr_reply.status_word(state) for state in State}
    assert {s for s, word in words.items() if word == "completed"} == {State.COMPLETED}
    assert {s for s, word in words.items() if word == "cancelled"} < ENDED
    assert words[State.RECEIVED] == words[State.HELD] == "pending"
    assert words[State.IN_PROGRESS] == words[State.ERASING] == "in_progress"


def test_a_reply_holds_what_the_specification_requires(make):
    created = json.loads(
        opendsr_reply.created(
            BODY,
            controller_id="controller",
            subject_request_id=make.SUBJECT_REQUEST_ID,
            received=make.NOW,
            due=DUE,
        ).model_dump_json()
    )
    assert created == {
        "controller_id": "controller",
        "expected_completion_time": "2026-12-21T12:00:00Z",
        "received_time": "2026-11-21T12:00:00Z",
        "encoded_request": base64.b64encode(BODY).decode(),
        "subject_request_id": make.SUBJECT_REQUEST_ID,
    }


def test_a_status_tells_our_own_state_as_an_extension(make):
    status = opendsr_reply.status(
        State.REFUSED,
        controller_id="controller",
        subject_request_id=make.SUBJECT_REQUEST_ID,
        due=DUE,
        domain="lethe.example.org",
    )
    assert status.request_status == "cancelled"
    assert status.extensions == {"lethe.example.org": {"state": "refused"}}
    called = Callback(**status.model_dump(), status_callback_url="https://c.example.org/x")
    assert json.loads(called.model_dump_json())["status_callback_url"] == "https://c.example.org/x"
    assert "c.example.org" not in repr(called)


def test_the_discovery_says_that_only_erasure_is_supported():
    discovery = Discovery(
        supported_identities=(
            SupportedIdentity(identity_type="controller_customer_id", identity_format="raw"),
        ),
        processor_certificate="https://lethe.example.org/cert.pem",
    )
    assert discovery.supported_subject_request_types == ("erasure",)
    assert discovery.api_version == "2.0"


def test_an_error_is_the_specifications_object(get, make):
    reply = opendsr_reply.error_reply(bad(get, make, subject_request_id="x"))
    message = "missing or not as specified: subject_request_id"
    assert reply.model_dump() == {
        "error": {
            "code": 400,
            "message": message,
            "errors": ({"domain": "Validation", "reason": "shape", "message": message},),
        }
    }
    assert opendsr_reply.error_reply("gone", code=404).error.code == 404


def pem(key, *, password=None):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


@pytest.fixture
def store(tmp_path):
    def stored(content):
        path = tmp_path / "key.pem"
        path.write_bytes(content)
        path.chmod(0o600)
        return f"file:{path}"

    return stored


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_a_reply_is_signed_with_rsa(store, rsa_key):
    signature = base64.b64decode(opendsr_reply.sign_reply(BODY, store(pem(rsa_key))))
    public = rsa_key.public_key()
    public.verify(signature, BODY, padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(InvalidSignature):
        public.verify(signature, BODY + b" ", padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_a_reply_is_signed_with_ecdsa(store, curve):
    key = ec.generate_private_key(curve)
    signature = base64.b64decode(opendsr_reply.sign_reply(BODY, store(pem(key))))
    key.public_key().verify(signature, BODY, ec.ECDSA(hashes.SHA256()))


def test_the_headers_are_those_of_both_names(store, rsa_key):
    headers = opendsr_reply.signed_headers(
        BODY, domain="lethe.example.org", key_ref=store(pem(rsa_key))
    )
    assert headers["X-OpenDSR-Processor-Domain"] == "lethe.example.org"
    assert headers["X-OpenGDPR-Processor-Domain"] == "lethe.example.org"
    assert headers["X-OpenDSR-Signature"] == headers["X-OpenGDPR-Signature"]
    assert "\n" not in headers["X-OpenDSR-Signature"]


def test_a_key_that_the_specification_does_not_allow_is_refused(store, rsa_key):
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    unfit = [
        b"no key",
        pem(weak),
        pem(ed25519.Ed25519PrivateKey.generate()),
        pem(ec.generate_private_key(ec.SECP256K1())),
        pem(rsa_key, password=b"locked"),
    ]
    for content in unfit:
        with pytest.raises(SecretError, match="no private key in PEM"):
            opendsr_reply.sign_reply(BODY, store(content))
    with pytest.raises(SecretError, match="is not there"):
        opendsr_reply.sign_reply(BODY, "file:/not/there")


def test_a_reply_cannot_hold_an_id_that_is_none():
    with pytest.raises(ValidationError):
        opendsr_reply.status(
            State.RECEIVED,
            controller_id="controller",
            subject_request_id="x",
            due=DUE + timedelta(days=1),
            domain="lethe.example.org",
        )
