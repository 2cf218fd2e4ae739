"""OpenDSR 2.0 (formerly OpenGDPR): a controller passes on the request of a person.

    POST   /requests                       create a request, answered 201 and signed
    GET    /requests/{subject_request_id}  its status
    DELETE /requests/{subject_request_id}  take it back while it is pending
    GET    /discovery                      what is supported

Only `erasure` is carried out; `access` and `portability` are refused with status 400 and the
error object of section 7.6. `subject_request_id` is the ticket and, because a controller that
repeats a request repeats it, the id of the delivery.

The specification leaves open how a controller authenticates (section 4.3). Here it shares one of
the source's secrets, and either shows it, `Authorization: Bearer <secret>`, or signs a request's
body with it, `X-Hub-Signature-256: sha256=<hex of the HMAC-SHA256>`. GET and DELETE have no body,
so a signature over it would be one for every request: they need the former.

Which subject ids an identity stands for is for the policy's mapping to say, for example
`subjects = "subject_identities[?identity_type=='controller_customer_id'].identity_value"`.

Source: github.com/opengdpr/OpenDSR, specification.md.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from lethe.deletion.ledger.types import Arrival, ArrivalKind
from lethe.deletion.policy.model import Policy, Source
from lethe.deletion.tickets.callbacks import check_callback
from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.errors import BadTicketError, Flaw
from lethe.deletion.tickets.event import Event
from lethe.deletion.tickets.opendsr_models import OpenDsrRequest, SubjectRequestId
from lethe.deletion.tickets.secrets import resolve_secrets
from lethe.deletion.tickets.signature import check_bearer, check_hex


def authenticate(
    policy: Policy, source: Source, delivery: Delivery, *, tolerance: timedelta
) -> None:
    """Check the secret that is shown, or the signature of the body.

    Raises:
        NotAuthenticError: if both are missing or the one that came is wrong, or the source has
            no secret.
    """
    del tolerance  # nothing signs a time
    if delivery.header("authorization") is not None:
        authenticate_without_body(policy, source, delivery)
        return
    secrets = resolve_secrets(source.secrets, delivery.received_at)
    check_hex(secrets, delivery.body, delivery.header("x-hub-signature-256"))


def authenticate_without_body(_policy: Policy, source: Source, delivery: Delivery) -> None:
    """Check the secret that a GET or DELETE shows.

    Raises:
        NotAuthenticError: if it is missing or wrong, or the source has none.
    """
    secrets = resolve_secrets(source.secrets, delivery.received_at)
    check_bearer(secrets, delivery.header("authorization"))


def read(source: Source, _delivery: Delivery, payload: Mapping[str, Any]) -> Event:
    """The event in a request.

    Raises:
        BadTicketError: if it is not one of the specification, asks for something else than
            erasure, or wants to be called back where that is not allowed.
    """
    request = parse_request(payload)
    if request.subject_request_type != "erasure":
        raise BadTicketError(
            Flaw.UNSUPPORTED,
            "its subject_request_type is not erasure, and nothing else is carried out here",
        )
    for url in request.status_callback_urls:
        check_callback(url, source.answer.callbacks)
    return Event(
        request.subject_request_id,
        ticket=request.subject_request_id,
        payload=payload,
        reply={
            "subject_request_id": request.subject_request_id,
            "status_callback_urls": list(request.status_callback_urls),
        },
    )


def parse_request(payload: Mapping[str, Any]) -> OpenDsrRequest:
    """A request in the form of the specification.

    Raises:
        BadTicketError: names the fields that are wrong, without their values.
    """
    try:
        return OpenDsrRequest.model_validate(dict(payload))
    except ValidationError as error:
        wrong = sorted({str((*e["loc"], "subject_identities")[0]) for e in error.errors()})
    # Outside of the handler: an exception keeps the one that it was raised in, and that has values.
    raise BadTicketError(Flaw.SHAPE, f"missing or not as specified: {', '.join(wrong)}")


def cancellation(source: str, subject_request_id: SubjectRequestId) -> Arrival:
    """What an authentic DELETE means, for the ledger."""
    return Arrival(
        source=source,
        delivery_id=f"{subject_request_id}:cancel",
        kind=ArrivalKind.CANCEL,
        ticket=subject_request_id,
        reply={"subject_request_id": subject_request_id},
    )
