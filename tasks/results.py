"""What a flow hands back: plain facts, JSON throughout, no data."""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

from lethe.deletion.ledger.types import Batch
from tasks.finish import Finished


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


class BatchResult(BaseModel):
    """What became of one batch. `error` is set when it was not carried out whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    batch_id: str
    model: str
    requests: tuple[str, ...]
    successor: str | None = None
    verdict: str | None = None
    run_id: str | None = None
    error: str | None = None

    @classmethod
    def of(cls, batch: Batch, *, done: Finished | None = None, error: str | None = None) -> Self:
        """The result of a batch that was carried out, forgotten before, or not carried out."""
        return cls(
            batch_id=batch.id,
            model=batch.model,
            requests=tuple(entry.id for entry in batch.entries),
            successor=None if done is None else str(done.successor),
            verdict=None if done is None else done.verdict,
            run_id=None if done is None else done.run_id,
            error=error,
        )


class ProcessResult(BaseModel):
    """What one run of `deletion-requests` did."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    weighed: dict[str, int]
    batches: tuple[BatchResult, ...]
    sent: int
    unsent: int


class TrainResult(BaseModel):
    """A trained version, or the one that was trained the same way before."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: str
    reused: bool
    training_key: str
    accuracy: float | None
    seconds: float
    run_id: str
