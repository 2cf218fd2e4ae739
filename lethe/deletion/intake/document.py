"""`/openapi.json`: what the service serves, for programs.

Open where the figures are (`health`): on the loopback address without `intake.public_url`.
Elsewhere it needs a token that may "read".
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from lethe.deletion.intake.auth import Credentials, Guard
from lethe.deletion.intake.health import metrics_are_open
from lethe.deletion.intake.service import Service


def document_router(service: Service, document: Callable[[], dict[str, Any]]) -> APIRouter:
    """The one route; `document` makes what it answers."""
    router = APIRouter()
    reads = Guard(service.policy, "read")
    is_open = metrics_are_open(service.settings)

    def may_read(credentials: Credentials) -> None:
        if not is_open:
            reads(credentials)

    @router.get("/openapi.json", include_in_schema=False)
    def openapi(_: Annotated[None, Depends(may_read)]) -> JSONResponse:
        return JSONResponse(document())

    return router
