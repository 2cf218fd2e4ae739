"""`POST /webhooks/{source}`: where GitHub, Jira, Standard Webhooks and OpenDSR deliver.

The answer 202 is sent after the ledger's commit. Any other answer means that the delivery may be
sent again: repetitions are known by the sender's delivery id and by the ticket.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from lethe.deletion.intake.errors import responses
from lethe.deletion.intake.reception import Accepted, delivery_of, take_in
from lethe.deletion.intake.service import Service

SourcePath = Annotated[str, Path(max_length=100, description="a source of the policy")]

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "what the sender sends, signed as it signs",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


def webhook_router(service: Service) -> APIRouter:
    """The route of the webhook sources."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        "/webhooks/{source}",
        status_code=202,
        response_model=Accepted,
        responses=responses(400, 401, 408, 413, 415, 422, 503),
        openapi_extra=_BODY,
        summary="Take in a delivery of a ticket system",
    )
    async def take(source: SourcePath, request: Request) -> Accepted:
        return (await take_in(service, source, await delivery_of(request))).view()

    return router
