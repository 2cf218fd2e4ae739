"""Types of single values in a policy: references to secrets, addresses, patterns.

A value that is refused is not repeated: it may be a secret in the wrong place.
"""

import re
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from lethe.deletion.request import ActorName

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,199}|file:[^\x00-\x1f\x7f]{1,1000}")


class Part(BaseModel):
    """Base of the policy's models: frozen, strict, nothing misspelt, errors without values."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        message = "is not a reference to a secret: write env:NAME or file:PATH, never the secret"
        raise ValueError(message)
    return text


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port  # raises where it is no number
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f\x7f]", text):
        message = "is no address that begins with https:// or http://"
        raise ValueError(message)
    if "@" in parts.netloc:
        message = "holds a user or a password: leave them out and give a reference to the secret"
        raise ValueError(message)
    return text


def _model_pattern(text: str) -> str:
    if not re.search(r"[@/*?\[]", text):
        message = "matches no model: write NAME@ALIAS, NAME/NUMBER or a pattern such as NAME@*"
        raise ValueError(message)
    return text


def _dataset_pattern(text: str) -> str:
    if text.startswith("/") or "\\" in text or {"..", ".", ""} & set(text.split("/")):
        message = "is no path inside the repository: write data/NAME or a pattern such as data/*"
        raise ValueError(message)
    return text


class SecretRef(Part):
    """Where a secret is kept, and from when until when it counts; a text alone is its `ref`."""

    ref: Annotated[str, AfterValidator(_reference)] = Field(
        description="`env:NAME`, an environment variable, or `file:PATH`, a file"
    )
    not_before: AwareDatetime | None = Field(
        default=None, description="not used before this time, a TOML date and time with its offset"
    )
    not_after: AwareDatetime | None = Field(
        default=None, description="not used from this time on, likewise"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"ref": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.not_before and self.not_after and self.not_before >= self.not_after:
            message = "not_before must lie before not_after"
            raise ValueError(message)
        return self


WebAddress = Annotated[str, Field(max_length=2000), AfterValidator(_web_address)]
ModelPattern = Annotated[str, Field(max_length=300), AfterValidator(_model_pattern)]
DatasetPattern = Annotated[str, Field(max_length=300), AfterValidator(_dataset_pattern)]
Share = Annotated[float, Field(ge=0, le=1)]
# TOML has arrays only.
ModelPatterns = Annotated[tuple[ModelPattern, ...], Field(strict=False)]
DatasetPatterns = Annotated[tuple[DatasetPattern, ...], Field(strict=False)]
WebAddresses = Annotated[tuple[WebAddress, ...], Field(strict=False)]
Actors = Annotated[tuple[ActorName, ...], Field(strict=False)]
SecretRefs = Annotated[tuple[SecretRef, ...], Field(strict=False)]
