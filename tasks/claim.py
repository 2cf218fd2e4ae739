"""Which batch is next."""

from collections.abc import Collection

from prefect import task

from lethe.deletion.ledger.types import Batch
from tasks.desk import Desk
from tasks.policy import SAFE_TO_RETRY


@task(**SAFE_TO_RETRY)
def claim_next(
    desk: Desk, *, models: Collection[str] | None, tried: Collection[str]
) -> Batch | None:
    """Lease the next batch; None if there is nothing that this worker could do now.

    A batch that this run tried already was given up for a reason that only time mends, such as a
    registry that does not answer: it is left for the next run.
    """
    desk.ledger.many.free(desk.gone)
    batch = desk.ledger.claim(
        desk.worker,
        lease=desk.lease,
        limit=desk.settings.ledger.batch_limit,
        models=models,
    )
    if batch is not None and batch.id in tried:
        desk.ledger.surrender(batch)
        return None
    return batch
