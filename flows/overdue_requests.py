# # Is a request past its deadline?
#
# Once a day, by a schedule. The run fails if a request that is still open should have been answered
# by now, so that an automation can tell somebody. What a person types to see them:
#
#     lethe requests list
"""The flow `overdue-requests`: fail if a deadline has passed."""

from datetime import UTC, datetime

from prefect import flow

from lethe.deletion.states import OPEN
from lethe.errors import RequestError
from lethe.settings import load_settings
from tasks.desk import open_desk

SHOWN = 20
PAGE = 500


@flow(name="overdue-requests", persist_result=False)
def overdue_requests() -> int:
    """Look at all open requests; how many there are.

    Raises:
        RequestError: if any is past its deadline. Nothing was changed.
    """
    now = datetime.now(UTC)
    with open_desk(load_settings()) as desk:
        late, seen, after = [], 0, None
        while page := desk.ledger.find(states=sorted(OPEN), limit=PAGE, after=after):
            late += [one.id for one in page if one.due_at is not None and one.due_at < now]
            seen, after = seen + len(page), page[-1].id
    if late:
        more = f" and {len(late) - SHOWN} more" if len(late) > SHOWN else ""
        raise RequestError(
            f"{len(late)} requests are past their deadline: {', '.join(late[:SHOWN])}{more}. "
            f"Nothing was changed. Look at them with `lethe requests show ID`."
        )
    return seen
