"""The pages for people: where all requests stand (`/`), and one of them (`/requests/{id}`).

    app.include_router(page_router(ledger, policy, settings, authorize))

Rendered here, without scripts and without anything from elsewhere. Whoever may "read" sees them; a
reader whose token names a source sees the requests of that source. Links are relative, so that the
service may stand under any prefix of a proxy. docs/page.md tells what is shown.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse

from lethe.audit.fields import ID_PATTERN
from lethe.deletion.intake.auth import Caller
from lethe.deletion.intake.page_query import Choice, Reader
from lethe.deletion.intake.page_render import PageRoute, problem, render, static_file
from lethe.deletion.intake.view import detail, rows, tallies
from lethe.deletion.intake.wording import GROUPS
from lethe.deletion.ledger.ledger import Ledger
from lethe.deletion.policy.model import CLI, Policy
from lethe.errors import RequestError
from lethe.settings import Settings

# The most tickets and letters that are listed.
_AT_MOST = 20
_MODEL = re.compile(r"[^\s@\x00-\x1f\x7f]+(@[^\s@\x00-\x1f\x7f]+)?")
_SOURCE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def page_router(
    ledger: Ledger,
    policy: Callable[[], Policy],
    settings: Settings,
    authorize: Callable[..., Caller],
    *,
    clock: Callable[[], datetime] = utc_now,
) -> APIRouter:
    """The routes of the pages and of what they are dressed with.

    Args:
        ledger: of requests.
        policy: gives the policy that holds now: its sources and approvers are named.
        settings: `mlflow.tracking_uri` is linked to where it is a server's.
        authorize: a dependency that gives the caller, or raises `ProblemError` 401 or 403.
        clock: the time, aware; days left are counted from it.
    """
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    reads = Annotated[Caller, Depends(authorize)]

    @router.get("/")
    def overview(
        caller: reads,
        state: Annotated[str, Query(max_length=40)] = "",
        model: Annotated[str, Query(max_length=300)] = "",
        source: Annotated[str, Query(max_length=40)] = "",
        after: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
    ) -> HTMLResponse:
        reader = Reader(ledger, caller.source, clock())
        choice = Choice(state, model.strip(), source)
        page = {
            "choice": choice,
            "now": reader.now,
            "only": reader.source,
            "sources": [] if reader.source else sorted({CLI, *policy().sources}),
        }
        if choice.is_empty and after is None:
            return render("overview.html", base="./", **page, **_everything(reader))
        return render("list.html", base="./", **page, **_chosen(reader, choice, after))

    @router.get("/requests/{request_id}")
    def one(caller: reads, request_id: str) -> HTMLResponse:
        reader = Reader(ledger, caller.source, clock())
        if not re.fullmatch(ID_PATTERN, request_id):
            raise problem(404)
        try:
            entry = reader.get(request_id)
        except RequestError:
            raise problem(404) from None
        shown = detail(
            entry,
            reader.now,
            tracking_uri=settings.mlflow.tracking_uri,
            approvers=policy().approval.approvers,
            original=reader.original(entry),
            duplicates=reader.duplicates(entry),
            together=reader.together(entry),
            certificate=reader.certificate(entry),
        )
        return render("request.html", base="../", now=reader.now, it=shown)

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        return static_file(name)

    return router


def _everything(reader: Reader) -> dict[str, Any]:
    """What the overview shows. Numbers and given-up letters are of all sources, or not shown."""
    counts = reader.ledger.counts() if reader.source is None else None
    return {
        "tallies": tallies(counts, GROUPS) if counts is not None else (),
        "sections": reader.sections(counts),
        "overdue": reader.overdue(),
        "unreadable": reader.unreadable(_AT_MOST),
        "dead": reader.ledger.letters_dead()[-_AT_MOST:] if reader.source is None else [],
    }


def _chosen(reader: Reader, choice: Choice, after: str | None) -> dict[str, Any]:
    """What the list shows."""
    try:
        states = choice.states
    except ValueError:
        raise problem(422) from None
    possible = (not choice.model or _MODEL.fullmatch(choice.model)) and (
        not choice.source or _SOURCE.fullmatch(choice.source)
    )
    try:
        found, following = reader.page(choice, states, after) if possible else ([], None)
    except RequestError:
        raise problem(404) from None
    return {"rows": rows(found, reader.now), "after": after, "following": following}
