"""The intake service as an ASGI application.

    app = create_app(ledger, LivePolicy(settings.policy_file), settings, deliver=send_what_is_due)

While it runs, one thread commits arrivals in groups (`writer`) and one sends letters (`courier`).
The ledger is opened and closed by who makes the application. What it serves and answers is told in
docs/intake.md.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Event
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.concurrency import run_in_threadpool

from lethe.deletion.intake import errors
from lethe.deletion.intake.api import api_router
from lethe.deletion.intake.auth import PageGuard
from lethe.deletion.intake.courier import Courier
from lethe.deletion.intake.document import document_router
from lethe.deletion.intake.health import health_router
from lethe.deletion.intake.limits import BodyLimit
from lethe.deletion.intake.metrics import Metrics
from lethe.deletion.intake.middleware import Around
from lethe.deletion.intake.opendsr_routes import opendsr_router
from lethe.deletion.intake.opendsr_routes import schemas as opendsr_schemas
from lethe.deletion.intake.page import page_router
from lethe.deletion.intake.service import Service
from lethe.deletion.intake.webhooks import webhook_router
from lethe.deletion.intake.writer import PATIENCE, Writer
from lethe.deletion.ledger.ledger import Ledger
from lethe.deletion.policy.model import Policy
from lethe.settings import Settings

TITLE = "Lethe intake"


def create_app(
    ledger: Ledger,
    policy: Callable[[], Policy] | Policy,
    settings: Settings,
    *,
    deliver: Callable[[], object] | None = None,
    closing: Event | None = None,
) -> FastAPI:
    """The application.

    Args:
        ledger: open; it stays open when the application ends.
        policy: the policy, or a callable that gives the one that holds now, such as `LivePolicy`.
        settings: limits, tolerance, listener.
        deliver: sends the letters that are due; called every few seconds and after an arrival, in
            a thread. None: letters stay in the ledger for somebody else.
        closing: set when the application ends, so that `deliver` begins nothing more.
    """
    given = policy if callable(policy) else lambda: policy
    metrics = Metrics(ledger)
    writer = Writer(ledger, on_commit=metrics.committed, patience=PATIENCE)
    courier = Courier(deliver, closing=closing) if deliver else None
    service = Service(
        ledger=ledger,
        policy=given,
        settings=settings,
        writer=writer,
        metrics=metrics,
        wake=courier.wake if courier else lambda: None,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        writer.start()
        if courier:
            courier.start()
        try:
            yield
        finally:
            await run_in_threadpool(writer.close)
            if courier:
                await run_in_threadpool(courier.close)

    # No pages of FastAPI's; the document for programs has a route of its own, with a guard.
    app = FastAPI(title=TITLE, version=_version(), lifespan=lifespan, openapi_url=None)
    app.state.service = service
    errors.install(app)
    app.include_router(webhook_router(service))
    app.include_router(opendsr_router(service))
    app.include_router(api_router(service))
    app.include_router(health_router(service))
    app.include_router(document_router(service, lambda: _openapi(app)))
    app.include_router(page_router(ledger, given, settings, PageGuard(given)))
    app.add_middleware(BodyLimit, limit=settings.intake.body_limit_kib * 1024)
    app.add_middleware(Around, metrics=metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the one form that every error has."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas |= opendsr_schemas() | {"Problem": errors.Problem.model_json_schema()}
        app.openapi_schema = document
    return app.openapi_schema


def _version() -> str:
    from importlib.metadata import version

    return version("lethe")
