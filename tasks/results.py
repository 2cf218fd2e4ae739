"""What a flow hands back: plain facts, JSON throughout, no data."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Status(StrEnum):
    """How a request ended."""

    REGISTERED = "registered"
    ALREADY_FORGOTTEN = "already_forgotten"


class UnlearnResult(BaseModel):
    """The successor of a request that was carried out, or that had been before."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    status: Status
    request_id: str
    parent: str
    successor: str
    verdict: str
    reason: str
    run_id: str
    alias: str | None = None


class TrainResult(BaseModel):
    """A trained version, or the one that was trained the same way before."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: str
    reused: bool
    training_key: str
    accuracy: float | None
    seconds: float
    run_id: str
