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

    What this run tried already and could not finish is left for the next run, and holds up no
    other model. Requests that nobody weighed are not begun: the policy has not judged them.
    """
    desk.ledger.many.free(desk.gone)
    return desk.ledger.claim(
        desk.worker,
        lease=desk.lease,
        limit=desk.settings.ledger.batch_limit,
        models=models,
        skip=tried,
        weighed=True,
    )
