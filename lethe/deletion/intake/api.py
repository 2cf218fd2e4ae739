"""The plain JSON API under `/api/v1`: file a request, see where it stands, decide.

Every call needs a token of the policy file (`lethe.deletion.intake.auth`). A token that names a
source sees the requests of that source and no other: the others are not there, 404. What a request
selects is never shown.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lethe.audit.fields import ID_PATTERN
from lethe.deletion.intake.api_views import RequestDetail, RequestPage, detail, view
from lethe.deletion.intake.auth import Caller, Guard, forbidden
from lethe.deletion.intake.errors import ProblemError, invalid, responses
from lethe.deletion.intake.reception import Accepted, delivery_of, take_in
from lethe.deletion.intake.service import Service
from lethe.deletion.ledger.types import Entry
from lethe.deletion.states import State
from lethe.errors import RequestError

PREFIX = "/api/v1"
_MOST = 500

RequestId = Annotated[str, Path(pattern=ID_PATTERN, description="id of a request")]
# One line without an address; a database keeps no NUL.
Reason = Annotated[str, Field(pattern=r"^[^@\x00-\x1f\x7f-\x9f\u2028\u2029]{1,200}$")]
ModelText = Annotated[str, Query(pattern=r"^[^\s@\x00-\x1f\x7f]+(@[^\s@\x00-\x1f\x7f]+|/\d+)$")]
SourceText = Annotated[str, Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]

_TICKET: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "a ticket; the source's mapping in the policy says which fields are read",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "ticket": {"type": "string", "description": "key of the ticket"},
                        "model": {"type": "string", "description": "NAME@ALIAS or NAME/NUMBER"},
                        "dataset": {"type": "string", "description": "path that DVC tracks"},
                        "classes": {"type": "array", "items": {"type": "string"}},
                        "subjects": {"type": "array", "items": {"type": "string"}},
                        "samples": {"type": "array", "items": {"type": "string"}},
                    },
                }
            }
        },
    }
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


_Said = TypeVar("_Said", bound=_Body)


class Why(_Body):
    """Why, in one line without anything personal."""

    reason: Reason


class PerhapsWhy(_Body):
    """Why, if somebody wants to say it."""

    reason: Reason | None = None


def _said(model: type[_Said]) -> Callable[[Request], Awaitable[_Said]]:
    """A dependency that reads a body; strangers were turned away before it."""

    async def read(request: Request) -> _Said:
        body = await request.body()
        try:
            return model.model_validate_json(body or b"{}")
        except ValidationError as error:
            wrong = error.errors(include_input=False, include_context=False, include_url=False)
        if wrong[0]["type"] == "json_invalid":
            raise ProblemError(400, "not_json", "The body is no JSON. Nothing was changed.")
        raise invalid([{**one, "loc": ("body", *one["loc"])} for one in wrong])

    return read


def _body(model: type[BaseModel], *, required: bool) -> dict[str, Any]:
    """A body for a route's part of the OpenAPI document."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": required, "content": content}}


def api_router(service: Service) -> APIRouter:
    """All routes of the API."""
    router = APIRouter(prefix=PREFIX, tags=["requests"])
    _add_filing(router, service)
    _add_reading(router, service)
    _add_deciding(router, service)
    return router


def _add_filing(router: APIRouter, service: Service) -> None:
    submits = Annotated[Caller, Depends(Guard(service.policy, "submit"))]

    @router.post(
        "/requests",
        status_code=202,
        response_model=Accepted,
        responses=responses(400, 401, 403, 408, 413, 415, 422, 503),
        openapi_extra=_TICKET,
        summary="File a request",
    )
    async def file(
        request: Request,
        caller: submits,
        idempotency_key: Annotated[
            str | None, Header(description="the same when the call is repeated; required")
        ] = None,
    ) -> Accepted:
        if caller.source is None:
            raise forbidden(
                "The token names no source, so the policy cannot judge what it files. Nothing was "
                "kept. Set `source` of the token to a source of kind plain."
            )
        if not idempotency_key:
            raise ProblemError(
                400,
                "idempotency_key_missing",
                "The header Idempotency-Key is missing. Nothing was kept. Send a new key with each "
                "ticket, and the same one when you repeat it.",
            )
        return (await take_in(service, caller.source, await delivery_of(request))).view()


def _add_reading(router: APIRouter, service: Service) -> None:
    reads = Annotated[Caller, Depends(Guard(service.policy, "read"))]

    @router.get(
        "/requests",
        responses=responses(401, 403, 404, 422, 503),
        summary="Requests, newest first",
    )
    def list_requests(  # noqa: PLR0917 (FastAPI passes them by name)
        caller: reads,
        state: Annotated[list[State] | None, Query(description="one or several")] = None,
        model: ModelText | None = None,
        source: SourceText | None = None,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
        after: Annotated[str | None, Query(pattern=ID_PATTERN, description="`next`")] = None,
    ) -> RequestPage:
        if caller.source is not None and source not in {None, caller.source}:
            return RequestPage(requests=[], next=None)
        if after is not None:
            _visible(service, caller, after)
        found = service.ledger.find(
            states=state or None,
            model=model,
            source=caller.source or source,
            limit=limit + 1,
            after=after,
        )
        more = found[limit - 1].id if len(found) > limit else None
        return RequestPage(requests=[view(entry) for entry in found[:limit]], next=more)

    @router.get(
        "/requests/{request_id}",
        responses=responses(401, 403, 404, 422, 503),
        summary="One request with its history",
    )
    def show(caller: reads, request_id: RequestId) -> RequestDetail:
        return detail(_visible(service, caller, request_id))


def _add_deciding(router: APIRouter, service: Service) -> None:
    operates = Annotated[Caller, Depends(Guard(service.policy, "operate"))]
    approves = Annotated[Caller, Depends(Guard(service.policy, "approve"))]
    errors = responses(400, 401, 403, 404, 408, 409, 413, 422, 503)
    ledger = service.ledger

    @router.post("/requests/{request_id}/approve", responses=errors, summary="Approve")
    def approve(caller: approves, request_id: RequestId) -> RequestDetail:
        if caller.actor not in service.policy().approval.approvers:
            raise forbidden(
                "The token's actor is none of the policy's approvers. Nothing was changed."
            )
        return _decide(
            service, caller, request_id, lambda: ledger.approve(request_id, actor=caller.actor)
        )

    @router.post(
        "/requests/{request_id}/hold",
        responses=errors,
        openapi_extra=_body(Why, required=True),
        summary="Hold, such as by law",
    )
    def hold(
        caller: operates, request_id: RequestId, why: Annotated[Why, Depends(_said(Why))]
    ) -> RequestDetail:
        return _decide(
            service,
            caller,
            request_id,
            lambda: ledger.hold(request_id, actor=caller.actor, reason=why.reason),
        )

    @router.post("/requests/{request_id}/release", responses=errors, summary="End a hold")
    def release(caller: operates, request_id: RequestId) -> RequestDetail:
        return _decide(
            service, caller, request_id, lambda: ledger.release(request_id, actor=caller.actor)
        )

    @router.post(
        "/requests/{request_id}/cancel",
        responses=errors,
        openapi_extra=_body(PerhapsWhy, required=False),
        summary="Cancel",
    )
    def cancel(
        caller: operates,
        request_id: RequestId,
        why: Annotated[PerhapsWhy, Depends(_said(PerhapsWhy))],
    ) -> RequestDetail:
        return _decide(
            service,
            caller,
            request_id,
            lambda: ledger.cancel(request_id, actor=caller.actor, reason=why.reason),
        )


def _visible(service: Service, caller: Caller, request_id: str) -> Entry:
    """A request with its history, if the caller may know of it."""
    try:
        entry = service.ledger.get(request_id)
    except RequestError:
        entry = None
    if entry is None or not caller.sees(entry):
        raise ProblemError(
            404, "no_such_request", "There is no such request, or the token does not show it."
        )
    return entry


def _decide(
    service: Service, caller: Caller, request_id: str, act: Callable[[], Entry]
) -> RequestDetail:
    _visible(service, caller, request_id)
    try:
        act()
    except RequestError as error:
        raise ProblemError(409, "not_possible_now", str(error)) from None
    service.wake()
    return detail(service.ledger.get(request_id))
