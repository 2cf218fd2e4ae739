"""Send what is owed to those who asked."""

from prefect import task

from lethe.deletion.answers.deliver import Delivered, deliver
from tasks.desk import Desk
from tasks.policy import IN_MEMORY


@task(**IN_MEMORY)
def answer(desk: Desk) -> Delivered:
    """Send all letters that are due; what cannot be sent now is kept for later."""
    return deliver(desk.ledger, desk.policy, desk.settings, worker=desk.worker)
