"""What the service answers when it cannot do what was asked: RFC 9457 problem details.

Every error of every route is `application/problem+json` with the members `type`, `title`, `status`,
`detail` and `code` (a word of ours to program against). No answer repeats what was sent: it may
name a person. What nobody foresaw becomes a 500 with an incident id; the log holds the place where
it happened under the same id, without the error's own text, which may quote the input.
"""

import logging
import secrets
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from lethe.deletion.ledger.errors import LedgerUnavailableError
from lethe.errors import LetheError

log = logging.getLogger("lethe.intake")

MEDIA_TYPE = "application/problem+json"
# After this many seconds a sender that was told to come back should.
RETRY_AFTER = 5
# Pydantic's messages for these are our own or repeat what was sent.
_OWN_WORDS = frozenset({"value_error", "assertion_error", "extra_forbidden", "json_invalid"})


class Problem(BaseModel):
    """An error, RFC 9457."""

    type: str = Field(default="about:blank", description="always about:blank; see code")
    title: str = Field(description="the status in words")
    status: int = Field(description="HTTP status")
    detail: str = Field(description="what happened and what to do")
    code: str = Field(description="one word to program against, listed in docs/intake.md")


class ProblemError(Exception):
    """Ends a request with a problem.

    Args:
        status: HTTP status.
        code: one word to program against.
        detail: what happened, what was left unchanged, what to do; nothing that was sent.
        headers: further headers of the answer.
        more: further members of the problem, such as `request_id`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    def response(self) -> JSONResponse:
        """The answer."""
        problem = Problem(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            code=self.code,
        )
        return JSONResponse(
            problem.model_dump() | self.more,
            status_code=self.status,
            headers=self.headers,
            media_type=MEDIA_TYPE,
        )


def unavailable(code: str = "ledger_unavailable") -> ProblemError:
    """The ledger does not answer: come back."""
    return ProblemError(
        503,
        code,
        "The ledger cannot be written at the moment. Nothing was kept. Send it again later.",
        headers={"Retry-After": str(RETRY_AFTER)},
    )


def is_outage(error: BaseException) -> bool:
    """Whether the database was away or busy, so that the same may work later."""
    return isinstance(error, LedgerUnavailableError)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These errors for a route's part of the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {s: {"description": HTTPStatus(s).phrase, "content": content} for s in statuses}


def install(app: FastAPI) -> None:
    """Make every error of an application a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(LetheError, _on_lethe)


def incident(error: BaseException) -> JSONResponse:
    """Note an error nobody foresaw and answer with the id it is noted under."""
    if is_outage(error):
        log.warning("The ledger did not answer: %s", type(error).__name__)
        return unavailable().response()
    number = secrets.token_hex(6)
    log.error("Incident %s: %s", number, place(error))
    return ProblemError(
        500,
        "incident",
        f"This is a fault of the service. Its log holds more under incident {number}.",
        more={"incident": number},
    ).response()


def place(error: BaseException) -> str:
    """Kinds and places of an error and of what led to it, without their texts."""
    lines: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        lines += [f"{type(seen).__module__}.{type(seen).__qualname__}\n"]
        lines += traceback.format_list(traceback.extract_tb(seen.__traceback__))
        seen = seen.__cause__ or seen.__context__
    return "".join(lines).rstrip()


async def _on_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)  # noqa: S101 (for the type checker)
    return error.response()


async def _on_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    code, detail = {
        400: ("not_json", "The body is no JSON. Nothing was changed."),
        404: ("not_found", "There is nothing at this address; /openapi.json lists what there is."),
        405: ("method_not_allowed", "This address does not take this method. Nothing was changed."),
    }.get(error.status_code, ("refused", "The request was refused. Nothing was changed."))
    return ProblemError(
        error.status_code, code, detail, headers=getattr(error, "headers", None)
    ).response()


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return invalid(error.errors()).response()


async def _on_lethe(_: Request, error: Exception) -> JSONResponse:
    return incident(error)


def invalid(errors: Sequence[Mapping[str, Any]]) -> ProblemError:
    """What pydantic found wrong, without values."""
    return ProblemError(
        422,
        "invalid",
        "A parameter or field is not as it must be. Nothing was changed.",
        more={"fields": faults(errors)},
    )


def faults(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Which fields are wrong and how, without values and without names the sender made up."""
    found = []
    for error in errors:
        where = [str(part) for part in error["loc"]]
        if error["type"] == "extra_forbidden":
            where[-1] = "(unknown field)"
        elif error["type"] == "json_invalid":
            where = where[:1]
        words = "is not allowed here" if error["type"] in _OWN_WORDS else str(error["msg"])
        found.append({"field": ".".join(where), "problem": words})
    return found
