"""End the keeping of what may be personal about requests that ended long ago."""

from prefect import task

from lethe.deletion.ledger.retention import Purged
from tasks.desk import Desk
from tasks.policy import SAFE_TO_RETRY


@task(**SAFE_TO_RETRY)
def purge(desk: Desk) -> Purged:
    """Empty what is past `ledger.purge_after_months`, batch by batch, until nothing is left."""
    return desk.ledger.retention.purge_all(
        desk.settings.ledger.purge_after_months, actor=desk.worker
    )
