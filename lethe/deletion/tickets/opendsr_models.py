"""The objects of OpenDSR 2.0, formerly OpenGDPR: what a controller asks and what it is told.

A processor's own additions travel in `extensions`, an object keyed by the processor's domain. In
status and callback Lethe says there which of its own states a request is in, for OpenDSR's four
words do not tell "rejected" from "cancelled by you".

Source: github.com/opengdpr/OpenDSR, specification.md, sections 5 to 9.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

API_VERSION = "2.0"
# Lower case and version 4, section 1.1.
SUBJECT_REQUEST_ID = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
MAX_IDENTITIES = 10_000
MAX_CALLBACKS = 16

SubjectRequestId = Annotated[str, Field(pattern=SUBJECT_REQUEST_ID)]
# Pydantic alone would read "1" as a second after the epoch.
_RFC3339 = r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$"
Rfc3339 = Annotated[str, Field(max_length=40, pattern=_RFC3339)]
StatusWord = Literal["pending", "in_progress", "completed", "cancelled"]
RequestType = Literal["erasure", "access", "portability"]
IdentityFormat = Literal["raw", "sha1", "md5", "sha256"]
IdentityType = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


class _Asked(BaseModel):
    """Base of what a controller sends; what else it sends is for the policy's expressions."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class _Told(BaseModel):
    """Base of what a controller is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Identity(_Asked):
    """One identity of the person (section 5.3). Its value is never shown."""

    identity_type: IdentityType
    identity_value: str = Field(min_length=1, max_length=1000, repr=False)
    identity_format: IdentityFormat


class OpenDsrRequest(_Asked):
    """A request of a person, passed on by the controller (section 7.1)."""

    subject_request_id: SubjectRequestId
    subject_request_type: RequestType
    submitted_time: Rfc3339
    regulation: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    subject_identities: tuple[Identity, ...] = Field(
        default=(), max_length=MAX_IDENTITIES, strict=False, repr=False
    )
    api_version: str | None = Field(default=None, max_length=20)
    status_callback_urls: tuple[Annotated[str, Field(max_length=2000)], ...] = Field(
        default=(), max_length=MAX_CALLBACKS, strict=False, repr=False
    )
    extensions: dict[str, Any] | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if not self.subject_identities and not self.extensions:
            message = "subject_identities is required unless extensions hold the identities"
            raise ValueError(message)
        return self


class Created(_Told):
    """Answer 201 to a request (section 7.3). `encoded_request` is the body, back in base64."""

    controller_id: str
    expected_completion_time: AwareDatetime
    received_time: AwareDatetime
    encoded_request: str = Field(repr=False)
    subject_request_id: SubjectRequestId


class Status(_Told):
    """Answer to a question for the status (section 8.3)."""

    controller_id: str
    expected_completion_time: AwareDatetime
    subject_request_id: SubjectRequestId
    request_status: StatusWord
    api_version: str = API_VERSION
    results_url: str | None = None
    extensions: dict[str, dict[str, str]] = Field(default_factory=dict)


class Callback(Status):
    """What is posted to each callback URL when the status changes (section 8.6)."""

    status_callback_url: str = Field(repr=False)


class Cancelled(_Told):
    """Answer 202 to a cancellation (section 9.2)."""

    controller_id: str
    received_time: AwareDatetime
    subject_request_id: SubjectRequestId
    api_version: str = API_VERSION


class SupportedIdentity(_Told):
    """A kind of identity that requests may hold."""

    identity_type: IdentityType
    identity_format: IdentityFormat


class Discovery(_Told):
    """What this processor can do (section 6.3)."""

    api_version: str = API_VERSION
    supported_identities: tuple[SupportedIdentity, ...]
    supported_subject_request_types: tuple[RequestType, ...] = ("erasure",)
    processor_certificate: str


class ErrorDetail(_Told):
    """One thing that is wrong."""

    domain: str
    reason: str
    message: str


class Error(_Told):
    """What is wrong (section 7.6); names fields, never holds an identity."""

    code: int
    message: str
    errors: tuple[ErrorDetail, ...] = ()


class ErrorReply(_Told):
    """Body of an answer that refuses (section 7.5)."""

    error: Error
