"""How a page is made: templates, style sheet, headers, and errors that are pages too."""

import hashlib
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from lethe.deletion.intake import wording
from lethe.deletion.intake.errors import RETRY_AFTER, ProblemError, is_outage
from lethe.deletion.intake.page_query import OVERDUE
from lethe.errors import LetheError

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
)
STATIC: Mapping[str, str] = MappingProxyType({"page.css": "text/css", "mark.svg": "image/svg+xml"})
_CACHED = {"Cache-Control": "public, max-age=86400"}
_FILTERS = (wording.moment, wording.day, wording.clock, wording.machine)
_HERE = Path(__file__).parent
_ERRORS = {
    401: "A token of the policy file that may read is needed. Reload the page, type any user name, "
    "and the token as the password.",
    403: "This token may not read requests. See `may` of the policy's tokens.",
    404: "There is no such request or page, or your token does not show it.",
    422: "The address asks for something that requests cannot be filtered by.",
    503: "The ledger does not answer at the moment. Nothing is lost. Try again in a minute.",
}
_TITLES = {401: "Not signed in", 403: "Not allowed", 404: "Not found", 422: "No such filter"}


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        handle = super().get_route_handler()

        async def page(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as problem:
                return self._error(problem.status, problem.headers)
            except HTTPException as error:
                return self._error(error.status_code, error.headers or {})
            except RequestValidationError:
                return self._error(422, {})
            except LetheError as error:
                if not is_outage(error):
                    raise
                return self._error(503, {"Retry-After": str(RETRY_AFTER)})

        return page

    def _error(self, status: int, headers: Mapping[str, str]) -> HTMLResponse:
        title = _TITLES.get(status, HTTPStatus(status).phrase)
        base = "./" if self.path == "/" else "../"
        text = _ERRORS.get(status, "The page cannot be shown.")
        page = render("error.html", base=base, title=title, text=text)
        page.status_code = status
        page.headers.update(headers)
        return page


def problem(status: int) -> ProblemError:
    """An error that becomes a page."""
    return ProblemError(status, "page", _ERRORS[status])


def render(template: str, *, base: str, **values: Any) -> HTMLResponse:
    """A page.

    Args:
        template: file name.
        base: the way from the page's address to that of the overview, `./` or `../`.
        values: what the template names.
    """
    text = _templates().get_template(template).render(base=base, **values)
    return HTMLResponse(text, headers=dict(HEADERS))


def static_file(name: str) -> Response:
    """The style sheet or the mark. Their addresses change with their content."""
    if name not in STATIC:
        raise problem(404)
    return Response(_bytes(name), media_type=STATIC[name], headers={**HEADERS, **_CACHED})


@cache
def _templates() -> Environment:
    """The templates. Everything is escaped, and a misspelt name is an error."""
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {f.__name__: f for f in _FILTERS}
    made.globals |= {
        "GROUPS": wording.GROUPS,
        "STATES": wording.STATES,
        "OVERDUE": OVERDUE,
        "version": hashlib.sha256(b"".join(map(_bytes, STATIC))).hexdigest()[:12],
    }
    return made


@cache
def _bytes(name: str) -> bytes:
    return (_HERE / "static" / name).read_bytes()
