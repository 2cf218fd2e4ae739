"""OpenDSR 2.0: a controller passes on a person's request, asks where it stands, takes it back.

    POST   /opendsr/{source}/requests         201, signed
    GET    /opendsr/{source}/requests/{id}    200, signed; also .../status/{id}
    DELETE /opendsr/{source}/requests/{id}    202, signed, while nothing was begun
    GET    /opendsr/{source}/discovery        200, for everybody

`id` is the controller's `subject_request_id`. Answers are signed over their bytes with the key of
the source (`answer.key` in the policy). If that key is missing the answer is 503: what was filed
stays filed, and the controller that repeats it finds it. Errors are problems (RFC 9457) with the
specification's `error` object as a further member; as it wants, what cannot be read is 400.

Source: github.com/opengdpr/OpenDSR, specification.md; `lethe.deletion.tickets.opendsr`.
"""

import logging
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from lethe.deletion.intake.errors import ProblemError, responses
from lethe.deletion.intake.reception import delivery_of, keep, not_authentic, take_in
from lethe.deletion.intake.service import Service
from lethe.deletion.intake.webhooks import SourcePath
from lethe.deletion.ledger.types import Entry, Reception
from lethe.deletion.policy.errors import UnknownSourceError
from lethe.deletion.policy.model import Source
from lethe.deletion.tickets import opendsr_reply
from lethe.deletion.tickets.delivery import Delivery
from lethe.deletion.tickets.errors import NotAuthenticError, SecretError, WhyNot
from lethe.deletion.tickets.opendsr import authenticate_without_body, cancellation
from lethe.deletion.tickets.opendsr_models import (
    SUBJECT_REQUEST_ID,
    Cancelled,
    Created,
    Discovery,
    OpenDsrRequest,
    Status,
    SupportedIdentity,
)

log = logging.getLogger("lethe.intake")

SubjectId = Annotated[str, Path(pattern=SUBJECT_REQUEST_ID, description="subject_request_id")]
_REF = "#/components/schemas/"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": f"{_REF}OpenDsrRequest"}}},
    }
}


def opendsr_router(service: Service) -> APIRouter:
    """All routes of OpenDSR."""
    router = APIRouter(prefix="/opendsr/{source}", tags=["opendsr"])
    signed = responses(400, 401, 404, 503)

    @router.post(
        "/requests",
        status_code=201,
        response_model=Created,
        responses=responses(400, 401, 408, 413, 415, 503),
        openapi_extra=_BODY,
        summary="Create a request",
    )
    async def create(source: SourcePath, request: Request) -> Response:
        return await _create(service, _source(service, source), await delivery_of(request))

    @router.get("/requests/{subject_request_id}", response_model=Status, responses=signed)
    @router.get("/status/{subject_request_id}", response_model=Status, responses=signed)
    def status(source: SourcePath, subject_request_id: SubjectId, request: Request) -> Response:
        known = _authentic(service, source, request)
        entry = _find(service, known, subject_request_id)
        reply = opendsr_reply.status(
            entry.state,
            controller_id=known.name,
            subject_request_id=subject_request_id,
            due=_due(entry),
            domain=_domain(known),
        )
        return _reply(known, reply, 200)

    @router.delete(
        "/requests/{subject_request_id}",
        status_code=202,
        response_model=Cancelled,
        responses=signed,
        summary="Take a request back",
    )
    async def cancel(
        source: SourcePath, subject_request_id: SubjectId, request: Request
    ) -> Response:
        known = await run_in_threadpool(_authentic, service, source, request)
        await run_in_threadpool(_find, service, known, subject_request_id)
        receipt = await keep(service, cancellation(known.name, subject_request_id))
        if receipt.reception is Reception.TOO_LATE:
            raise refused(400, "too_late", "The request is not pending any more. It goes on.")
        reply = Cancelled(
            controller_id=known.name,
            received_time=datetime.now(UTC),
            subject_request_id=subject_request_id,
        )
        return await run_in_threadpool(_reply, known, reply, 202)

    @router.get("/discovery", responses=responses(404), summary="What is supported")
    def discovery(source: SourcePath) -> Discovery:
        try:
            known = _source(service, source)
        except ProblemError:
            raise refused(404, "not_found", "There is no such source of OpenDSR.") from None
        return Discovery(
            supported_identities=(
                SupportedIdentity(identity_type="controller_customer_id", identity_format="raw"),
            ),
            processor_certificate=f"https://{_domain(known)}/opendsr/{known.name}/certificate.pem",
        )

    return router


def schemas() -> dict[str, Any]:
    """What a controller sends, for the components of the OpenAPI document."""
    schema = OpenDsrRequest.model_json_schema(ref_template=f"{_REF}{{model}}")
    return {**schema.pop("$defs", {}), "OpenDsrRequest": schema}


def refused(status: int, code: str, detail: str) -> ProblemError:
    """A problem that is also the specification's error object (section 7.6)."""
    error = opendsr_reply.error_reply(detail, code=status).error.model_dump(mode="json")
    return ProblemError(status, code, detail, more={"error": error})


async def _create(service: Service, source: Source, delivery: Delivery) -> Response:
    try:
        taken = await take_in(service, source.name, delivery)
    except ProblemError as problem:
        if problem.status in {400, 422}:
            raise refused(400, problem.code, problem.detail) from None
        raise
    request_id, ticket = taken.receipt.request_id, taken.arrival.ticket
    if request_id is None or ticket is None:
        raise refused(400, "unsupported", "The policy files no such request. Nothing was kept.")

    def answer() -> Response:
        entry = service.ledger.get(request_id)
        reply = opendsr_reply.created(
            delivery.body,
            controller_id=source.name,
            subject_request_id=ticket,
            received=entry.request.received_at,
            due=_due(entry),
        )
        return _reply(source, reply, 201)

    return await run_in_threadpool(answer)


def _source(service: Service, name: str) -> Source:
    """A source of OpenDSR; any other is as unknown as one that does not exist."""
    try:
        source = service.policy().source(name)
    except UnknownSourceError:
        source = None
    if source is None or source.kind != "opendsr":
        service.metrics.refused(name, service.sources, WhyNot.SOURCE_UNKNOWN.value)
        raise not_authentic()
    return source


def _authentic(service: Service, name: str, request: Request) -> Source:
    source = _source(service, name)
    try:
        authenticate_without_body(service.policy(), source, Delivery(request.headers, b""))
    except NotAuthenticError as error:
        reason = error.reason
    except SecretError:
        reason = WhyNot.SECRET_MISCONFIGURED
    else:
        return source
    service.metrics.refused(name, service.sources, reason.value)
    raise not_authentic()


def _find(service: Service, source: Source, subject_request_id: str) -> Entry:
    found = service.ledger.find(source=source.name, ticket=subject_request_id, limit=1)
    if not found:
        raise refused(404, "no_such_request", "There is no request of this subject_request_id.")
    return found[0]


def _due(entry: Entry) -> datetime:
    return entry.due_at or entry.request.received_at


def _domain(source: Source) -> str:
    return source.answer.domain or "localhost"


def _reply(source: Source, reply: BaseModel, status: int) -> Response:
    """An answer with its signature."""
    body = reply.model_dump_json().encode()
    try:
        headers = _signature(source, body)
    except SecretError as error:
        log.error("An answer could not be signed. %s", error)  # noqa: TRY400 (it says all there is)
        raise ProblemError(
            503,
            "not_signed",
            "The answer cannot be signed at the moment. What was asked is done. Ask again later.",
            headers={"Retry-After": "60"},
        ) from None
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def _signature(source: Source, body: bytes) -> dict[str, str]:
    if source.answer.key is None:
        raise SecretError(
            f"The source {source.name} has no key to sign answers with. Set answer.key in the "
            f"policy; see docs/tickets.md."
        )
    return opendsr_reply.signed_headers(body, domain=_domain(source), key_ref=source.answer.key.ref)
