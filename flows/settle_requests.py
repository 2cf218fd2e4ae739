# # Bring requests to their end
#
# Between two edits: what somebody promoted in the meantime is completed, answers that could not be
# sent are sent, and what may not be kept any longer is emptied. What a killed run left lying is
# taken up again by a new one. Cheap enough to run every few minutes.
"""The flow `settle-requests`: settle, answer, purge, and a run for what lies."""

from datetime import UTC, datetime

from prefect import flow, get_run_logger

from flows.trigger import START, ensure_run
from lethe.deletion.answers.deliver import Delivered
from lethe.deletion.answers.errors import SendError
from lethe.settings import load_settings
from tasks.answer import answer
from tasks.desk import Desk, open_desk
from tasks.purge import purge
from tasks.settle import settle


@flow(name="settle-requests", persist_result=False)
def settle_requests() -> int:
    """Settle, answer, purge, and have taken up what lies; the number of letters sent."""
    with open_desk(load_settings()) as desk:
        settle(desk)
        answered: Delivered = answer(desk)
        purge(desk)
        _take_up(desk)
        return answered.sent


def _take_up(desk: Desk) -> None:
    """Make sure of a run, where a run was killed or its trigger led to none."""
    desk.ledger.many.free(desk.gone)
    lying = desk.ledger.many.lying(START)
    if not lying:
        return
    logger = get_run_logger()
    try:
        ensure_run(desk.settings, f"lying:{datetime.now(UTC):%Y%m%dT%H%M}")
        logger.info("%d requests lay; a run takes them up", lying)
    except SendError as error:
        logger.warning("%d requests lie, and no run could be made: %s", lying, error)
