"""`/healthz`, `/readyz`, `/metrics`: for whoever looks after the service.

`/healthz` says that the process answers, and nothing else: a restart mends nothing but a dead
process. `/readyz` says whether tickets would be kept: the ledger answers. `/metrics` needs a token
that may "read" and names no source, unless the service listens on the loopback address alone and
no `intake.public_url` says that a proxy brings strangers there.
"""

import ipaddress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from lethe.deletion.intake.auth import Credentials, Guard, forbidden
from lethe.deletion.intake.errors import is_outage, responses, unavailable
from lethe.deletion.intake.metrics import CONTENT_TYPE
from lethe.deletion.intake.service import Service
from lethe.settings import Settings

_TEXT: dict[str, Any] = {"content": {"text/plain": {}}, "description": "Prometheus' text format"}


class Health(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Tickets would be kept."""

    status: Literal["ready"] = "ready"
    policy: Literal["current", "stale"] = Field(
        description="stale: its file is wrong, the last good one goes on; the log says why"
    )


def health_router(service: Service) -> APIRouter:
    """The three routes."""
    router = APIRouter(tags=["operation"])
    reads = Guard(service.policy, "read")
    is_open = metrics_are_open(service.settings)

    def may_scrape(credentials: Credentials) -> None:
        if not is_open and reads(credentials).source is not None:
            raise forbidden(
                "The token sees one source, the figures are of all. Nothing was shown. Use one "
                "that may read and names no source."
            )

    @router.get("/healthz", summary="The process answers")
    async def healthz() -> Health:
        return Health()

    @router.get("/readyz", responses=responses(503), summary="Tickets would be kept")
    def readyz() -> Readiness:
        try:
            service.ledger.ping()
        except Exception as error:
            if is_outage(error):
                raise unavailable() from None
            raise
        return Readiness(policy="stale" if is_stale(service) else "current")

    @router.get(
        "/metrics",
        responses=responses(401, 403, 503) | {200: _TEXT},
        response_class=Response,
        summary="Figures for Prometheus",
    )
    def metrics(_: Annotated[None, Depends(may_scrape)]) -> Response:
        text = service.metrics.text(stale=is_stale(service))
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    return router


def is_stale(service: Service) -> bool:
    """Whether the policy file is wrong and an older policy goes on."""
    service.policy()  # looks at the file
    return bool(getattr(service.policy, "stale", False))


def metrics_are_open(settings: Settings) -> bool:
    """Whether nobody but this machine can ask for the figures."""
    if settings.intake.public_url is not None:
        return False
    host = settings.intake.host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
