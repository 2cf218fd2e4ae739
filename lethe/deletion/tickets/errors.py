"""What can be wrong with a delivery.

What leaves the house is the same for a source that does not exist and a signature that does not
match; the reason is for the metric and the operator.
"""

from enum import StrEnum

from lethe.errors import PolicyError, RequestError


class WhyNot(StrEnum):
    """Why a delivery was not believed; a closed list, so it can be a metric's label."""

    SOURCE_UNKNOWN = "source_unknown"
    NO_SECRET_CONFIGURED = "no_secret_configured"  # noqa: S105 (no secret)
    SECRET_MISCONFIGURED = "secret_misconfigured"  # noqa: S105 (no secret)
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_WRONG = "signature_wrong"
    HEADER_REPEATED = "header_repeated"
    TIMESTAMP_MISSING = "timestamp_missing"
    TIMESTAMP_OLD = "timestamp_old"
    DELIVERY_ID_MISSING = "delivery_id_missing"
    DELIVERY_ID_WRONG = "delivery_id_wrong"


class Flaw(StrEnum):
    """What is wrong with an authentic body; a closed list, so it can be a metric's label."""

    CONTENT_TYPE = "content_type"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    REPEATED_KEY = "repeated_key"
    TOO_DEEP = "too_deep"
    SHAPE = "shape"
    UNSUPPORTED = "unsupported"


class NotAuthenticError(RequestError):
    """A delivery is not from whom it says. The message is the same for every reason.

    Attributes:
        reason: why; for the metric, never for the sender.
    """

    def __init__(self, reason: WhyNot | str) -> None:
        self.reason = WhyNot(reason)
        super().__init__(
            "The delivery cannot be trusted. Nothing was kept. Compare the source's name, secret "
            "and headers with docs/tickets.md; `lethe policy check` shows the sources."
        )


class BadTicketError(RequestError):
    """An authentic delivery cannot be read.

    Attributes:
        reason: a word of a closed list.
        detail: one sentence for the sender; names fields, never values.
    """

    def __init__(self, reason: Flaw | str, detail: str) -> None:
        self.reason = Flaw(reason)
        self.detail = detail
        super().__init__(
            f"The ticket cannot be read: {detail}. Nothing was filed. Mend the sender, see "
            "docs/tickets.md, and send it again."
        )


class SecretError(PolicyError):
    """A secret that the policy refers to is too short or may be read by everybody."""
