# # Is everything still as it was recorded?
#
# The whole audit trail against ledger, copies, MLflow and DVC, by a schedule. The run fails if
# anything is not as it was recorded, so that an automation can tell somebody. What a person types
# to see all of it:
#
#     lethe audit verify
"""The flow `verify-trail`: check the audit trail, and fail if it does not hold."""

from prefect import flow

from lethe.settings import load_settings
from tasks.desk import open_desk
from tasks.trail_watch import watch_trail


@flow(name="verify-trail", persist_result=False)
def verify_trail() -> int:
    """Check the audit trail; the number of records.

    Raises:
        AuditError: if something is not as it was recorded. Nothing was changed.
        KeysError: if there are no public keys to check with.
    """
    with open_desk(load_settings()) as desk:
        watch_trail(desk)
        return desk.ledger.statements.count()
