"""A deletion request, and the folder that keeps requests until they are done.

Requests lie in files that only their owner can read: a selection may hold ids of people, which must
not travel through flow parameters, tags or logs. Those carry the request's own id alone.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from lethe.audit.fields import ID_PATTERN, OpaqueId, Phrase, TicketKey
from lethe.data.forget_set import ForgetSpec
from lethe.errors import DataError

FOLDER = "requests"


def new_request_id() -> str:
    """A fresh, opaque id."""
    return f"req-{secrets.token_hex(6)}"


class DeletionRequest(BaseModel):
    """Which model is to forget which rows, on what ground."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: OpaqueId = Field(default_factory=new_request_id)
    model: str = Field(description="NAME@ALIAS or NAME/NUMBER", min_length=3)
    forget: ForgetSpec
    evaluation: str | None = Field(
        default=None,
        min_length=1,
        description="data set in the same repository to measure on; default: the forget set's own",
    )
    ground: Phrase = Field(default="unspecified", description="legal or other ground")
    ticket: TicketKey | None = Field(default=None, description="key of the ticket")
    received_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


def new_spec(**fields: Any) -> ForgetSpec:
    """A forget set's reference from what a person typed.

    Raises:
        DataError: if it is not well formed.
    """
    try:
        return ForgetSpec(**fields)
    except ValidationError as error:
        raise DataError(
            f"The forget set is not named as it must be: {error.errors()[0]['msg']}. Nothing was "
            f"done. Name a path that DVC tracks: --dataset data/digits."
        ) from None


def new_request(**fields: Any) -> DeletionRequest:
    """A request from what a person typed.

    Raises:
        DataError: if a field may not stand in a record; its value is not repeated.
    """
    try:
        return DeletionRequest(**fields)
    except ValidationError as error:
        wrong = sorted({str(e["loc"][0]) for e in error.errors()})
        raise DataError(
            f"The request cannot be recorded: {', '.join(wrong)} must be short, on one line, and "
            f"hold no address. Nothing was filed. Use a key or a phrase such as 'GDPR Art. 17'."
        ) from None


def file_request(state: Path, request: DeletionRequest) -> DeletionRequest:
    """Keep a request; filing the same one again returns the one that is there.

    Raises:
        DataError: if another request is kept under this id.
    """
    folder = state / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{request.id}.json"
    try:
        # Whole or not at all: a process that is killed here leaves no half of a request.
        with NamedTemporaryFile("w", dir=folder, encoding="utf-8") as draft:
            draft.write(request.model_dump_json(indent=2))
            draft.flush()
            os.link(draft.name, path)
    except FileExistsError:
        kept = read_request(state, request.id)
        if kept.model_copy(update={"received_at": request.received_at}) == request:
            return kept
        raise DataError(
            f"Another request is kept under the id {request.id!r}. It was left unchanged and "
            f"nothing was filed. Leave the id out to get a fresh one."
        ) from None
    return request


@contextmanager
def only_here(state: Path, request_id: str) -> Iterator[None]:
    """Hold a request while it is carried out; the hold ends with the process, however it ends.

    Raises:
        DataError: if another process on this machine carries it out at this moment.
    """
    folder = state / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / f".{request_id}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"Request {request_id} is being carried out by another process. This one did "
                f"nothing. See how far it is with `lethe model list`."
            ) from None
        yield


def read_request(state: Path, request_id: str) -> DeletionRequest:
    """The request kept under an id.

    Raises:
        DataError: if there is none, or its file is damaged.
    """
    path = state / FOLDER / f"{request_id}.json"
    # An id becomes part of a path: one that is not well formed could lead out of the folder.
    if not re.fullmatch(ID_PATTERN, request_id) or not path.is_file():
        raise DataError(
            f"There is no deletion request {request_id!r}. Nothing was done. "
            f"File one with `lethe unlearn MODEL --dataset PATH --classes NAME`."
        )
    try:
        return DeletionRequest.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise DataError(
            f"The file of deletion request {request_id!r} is damaged ({error.error_count()} "
            f"errors). Nothing was done and {path} was left as it is. Move it away, then file the "
            f"request again."
        ) from error
