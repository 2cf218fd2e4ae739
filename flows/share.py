# # Share the work with another worker
#
# A run carries out one batch after the other, each of one model. Where more models wait, another
# run is made, for another worker of the pool. That one does the same, so as many workers as there
# are models get to work. Where there is no other worker the run waits, and finds nothing left.
"""Another run for models that this one leaves to others."""

import logging

from flows.trigger import ensure_run
from lethe.deletion.answers.errors import SendError
from lethe.deletion.ledger.types import Batch
from tasks.desk import Desk

log = logging.getLogger("lethe.share")


def share(desk: Desk, batch: Batch) -> bool:
    """Make sure of another run if a model waits that nobody has begun; whether there was one.

    Args:
        desk: settings and ledger.
        batch: what this run has just claimed; for one batch at most one run is made.
    """
    if not desk.ledger.many.untouched():
        return False
    try:
        ensure_run(desk.settings, f"share:{batch.id}")
    except SendError as error:
        # This run carries everything out itself, one model after the other.
        log.warning("No other run shares the work: %s", error.what)
    return True
