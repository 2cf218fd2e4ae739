"""What a controller is told, in OpenDSR's words, and the signature under it.

    body = created(request_body, entry, controller_id="privacy").model_dump_json().encode()
    headers = signed_headers(body, domain="lethe.example.org", key_ref="file:/run/secrets/dsr.pem")

`X-OpenDSR-Signature` is the base64 of a signature over the raw bytes of the body: RSASSA-PKCS1-v1_5
with SHA-256 for an RSA key, ECDSA with SHA-256 (DER) for one on P-256 or P-384, both of FIPS 186-4
as section 4.2 wants. RSA is what other processors sign with. The headers of OpenGDPR come along,
as section 10.1 wants.
"""

import base64
from datetime import datetime
from types import MappingProxyType

from lethe.deletion.states import State
from lethe.deletion.tickets.errors import BadTicketError, SecretError
from lethe.deletion.tickets.opendsr_models import (
    Created,
    Error,
    ErrorDetail,
    ErrorReply,
    Status,
    StatusWord,
)
from lethe.deletion.tickets.secrets import read_secret

_BRANDS = ("OpenDSR", "OpenGDPR")
_MIN_RSA_BITS = 2048
_CURVES = frozenset({"secp256r1", "secp384r1"})

# "completed" is claimed of what was fulfilled alone. What ended otherwise is "cancelled": the
# controller must not wait for it. A partial one is still a person's to finish.
STATUS_WORDS: MappingProxyType[State, StatusWord] = MappingProxyType(
    {
        State.RECEIVED: "pending",
        State.DUPLICATE: "pending",
        State.AWAITING_APPROVAL: "pending",
        State.APPROVED: "pending",
        State.HELD: "pending",
        State.IN_PROGRESS: "in_progress",
        State.REGISTERED: "in_progress",
        State.PROMOTED: "in_progress",
        State.ERASING: "in_progress",
        State.PARTIAL: "in_progress",
        State.COMPLETED: "completed",
        State.REJECTED: "cancelled",
        State.REFUSED: "cancelled",
        State.FAILED: "cancelled",
        State.CANCELLED: "cancelled",
    }
)


def status_word(state: State) -> StatusWord:
    """OpenDSR's word for a state (section 8)."""
    return STATUS_WORDS[state]


def created(
    body: bytes,
    *,
    controller_id: str,
    subject_request_id: str,
    received: datetime,
    due: datetime,
) -> Created:
    """The answer to a request that was filed.

    Args:
        body: raw bytes of the request.
        controller_id: the source's name.
        subject_request_id: of the request.
        received: when it was received first.
        due: when it is to be completed.
    """
    return Created(
        controller_id=controller_id,
        expected_completion_time=due,
        received_time=received,
        encoded_request=base64.b64encode(body).decode(),
        subject_request_id=subject_request_id,
    )


def status(
    state: State, *, controller_id: str, subject_request_id: str, due: datetime, domain: str
) -> Status:
    """Where a request stands, in OpenDSR's word and, as an extension, in Lethe's own."""
    return Status(
        controller_id=controller_id,
        expected_completion_time=due,
        subject_request_id=subject_request_id,
        request_status=status_word(state),
        extensions={domain: {"state": state.value}},
    )


def error_reply(error: BadTicketError | str, *, code: int = 400) -> ErrorReply:
    """The error object of an answer that refuses; holds no identity, as section 7.6 demands."""
    if isinstance(error, BadTicketError):
        message, reason = error.detail, error.reason.value
    else:
        message, reason = error, "unreadable"
    detail = ErrorDetail(domain="Validation", reason=reason, message=message)
    return ErrorReply(error=Error(code=code, message=message, errors=(detail,)))


def signed_headers(body: bytes, *, domain: str, key_ref: str) -> dict[str, str]:
    """The headers that OpenDSR wants on each answer and callback.

    Args:
        body: the bytes that are sent, exactly.
        domain: on which requests are received and for which the certificate was issued.
        key_ref: `file:PATH` or `env:NAME` of the private key in PEM.

    Raises:
        SecretError: if there is no usable key.
    """
    signature = sign_reply(body, key_ref)
    domains = {f"X-{brand}-Processor-Domain": domain for brand in _BRANDS}
    return domains | {f"X-{brand}-Signature": signature for brand in _BRANDS}


def sign_reply(body: bytes, key_ref: str) -> str:
    """The signature of an answer's raw bytes, in base64 on one line.

    Raises:
        SecretError: if there is no key, or it is none that OpenDSR allows.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = read_secret(key_ref)
    if pem is None:
        raise _no_key(key_ref, "is not there")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        key = None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _MIN_RSA_BITS:
        signature = key.sign(body, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        signature = key.sign(body, ec.ECDSA(hashes.SHA256()))
    else:
        raise _no_key(
            key_ref, f"is no private key in PEM, RSA of {_MIN_RSA_BITS} bits or more, or P-256"
        )
    return base64.b64encode(signature).decode()


def _no_key(key_ref: str, what: str) -> SecretError:
    return SecretError(
        f"The key {key_ref} that signs OpenDSR answers {what}. Nothing was sent. See OpenDSR in "
        "docs/tickets.md for how to make one."
    )
