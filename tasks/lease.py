"""The lease of a batch, kept alive while the batch is carried out."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lethe.deletion.ledger.errors import LeaseLostError, LedgerUnavailableError
from lethe.deletion.ledger.types import Batch
from lethe.errors import LetheError
from lethe.logs import bound
from tasks.desk import Desk

RENEWALS_PER_LEASE = 4
# Of a larger batch, log lines carry the batch's id alone.
MOST_IDS = 20


@contextmanager
def leased(desk: Desk, batch: Batch) -> Iterator[None]:
    """Renew the lease in the background; give it up when the block ends, however it ends.

    What the block has not concluded stays in progress, for the next claim to go on with. A lost
    lease is not reported from here: every change under it is refused by the ledger itself. An
    attempt counts unless the block said, by an error of Lethe's own, that something it needs does
    not answer: an outage may last as long as it likes and fails nobody.
    """
    stop = threading.Event()
    counted = True

    def renew() -> None:
        while not stop.wait(desk.lease.total_seconds() / RENEWALS_PER_LEASE):
            # A database that is away for a moment must not end the heartbeat.
            with suppress(LeaseLostError, LedgerUnavailableError):
                desk.ledger.renew(batch, desk.lease)

    heartbeat = threading.Thread(target=renew, name="lethe-lease", daemon=True)
    heartbeat.start()
    try:
        with bound(**_ids(batch)):
            yield
    except LetheError:
        counted = False
        raise
    finally:
        stop.set()
        heartbeat.join()
        with suppress(LeaseLostError, LedgerUnavailableError):
            desk.ledger.surrender(batch, counted=counted)


def _ids(batch: Batch) -> dict[str, object]:
    """The ids that log lines about a batch carry."""
    named = [entry.id for entry in batch.entries]
    few = {"request_ids": named} if len(named) <= MOST_IDS else {}
    return {"batch_id": batch.id, "model": batch.model, **few}
