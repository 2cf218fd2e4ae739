# # Bring requests to their end
#
# Between two edits: what somebody promoted in the meantime is completed, answers that could not be
# sent are sent, and what may not be kept any longer is emptied. Cheap enough to run every few
# minutes.
"""The flow `settle-requests`: settle, answer, purge."""

from prefect import flow

from lethe.deletion.answers.deliver import Delivered
from lethe.settings import load_settings
from tasks.answer import answer
from tasks.desk import open_desk
from tasks.purge import purge
from tasks.settle import settle


@flow(name="settle-requests", persist_result=False)
def settle_requests() -> int:
    """Settle, answer and purge; the number of letters sent."""
    with open_desk(load_settings()) as desk:
        settle(desk)
        answered: Delivered = answer(desk)
        purge(desk)
        return answered.sent
