"""A deletion request: which model is to forget which rows, who asked, on what ground.

The selection may hold ids of people. It stays in the ledger, encrypted (`lethe.deletion.vault`);
flow parameters, tags and logs carry the request's own id alone.
"""

import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from lethe.audit.fields import Actor, OpaqueId, Phrase, TicketKey
from lethe.data.forget_spec import ForgetSpec
from lethe.errors import DataError

SourceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
ActorName = Actor
ModelName = Annotated[str, Field(min_length=3, max_length=300, pattern=r"^[^\s@]+(@[^\s@]+|/\d+)$")]


def new_request_id() -> str:
    """A fresh, opaque id."""
    return f"req-{secrets.token_hex(6)}"


class DeletionRequest(BaseModel):
    """Which model is to forget which rows, on what ground."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: OpaqueId = Field(default_factory=new_request_id)
    model: ModelName = Field(description="NAME@ALIAS or NAME/NUMBER")
    forget: ForgetSpec
    evaluation: str | None = Field(
        default=None,
        min_length=1,
        description="data set in the same repository to measure on; default: the forget set's own",
    )
    ground: Phrase = Field(default="unspecified", description="legal or other ground")
    regulation: SourceName = Field(
        default="gdpr", description="name of the rule that gives the deadline"
    )
    source: SourceName = Field(default="cli", description="where it came from: a policy's source")
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
