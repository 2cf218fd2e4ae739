"""Field types of the statement: narrow enough that nothing personal fits in by accident."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

MAX_SETTING = 500


class Record(BaseModel):
    """Base of the statement's models: frozen, strict, no field beyond those named."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True
    )


def without_credentials(url: str) -> str:
    """A URL without user, password, query and fragment; any other text as it is.

    >>> without_credentials("https://anna:secret@example.org/data.git?token=x")
    'https://example.org/data.git'
    """
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def flat_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with dotted names instead of nesting and text instead of lists.

    >>> flat_settings({"adam": {"rate": 0.1}, "steps": [1, 2]})
    {'adam.rate': 0.1, 'steps': '1, 2'}
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": item for inner, item in flat_settings(value).items()}
        elif isinstance(value, list | tuple):
            flat[name] = ", ".join(map(str, value))
        else:
            flat[name] = value
    return flat


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _from_digits(value: Any) -> Any:
    """An integer that was written as a string for being larger than JSON readers can keep."""
    return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
GitRev = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
DvcMd5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]
Utc = Annotated[AwareDatetime, AfterValidator(_utc)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
BigInt = Annotated[int, BeforeValidator(_from_digits)]
# No @, so no address; no line breaks, so no pasted text.
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
OpaqueId = Annotated[str, Field(pattern=ID_PATTERN)]
TicketKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/#:-]{0,199}$")]
Actor = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$")]
Phrase = Annotated[str, Field(pattern=r"^[^@\r\n]{1,200}$")]
# A policy's version and digest, as `lethe.deletion.policy` labels it.
PolicyLabel = Annotated[str, Field(pattern=r"^[^@\s]{1,100}@sha256:[0-9a-f]{12}$")]
Sentence = Annotated[str, Field(pattern=r"^[^\r\n]{1,2000}$")]
Label = Annotated[str, Field(min_length=1, max_length=200)]
Location = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(without_credentials)]
Setting = bool | int | float | Annotated[str, Field(max_length=MAX_SETTING)] | None
