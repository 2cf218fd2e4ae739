# # Carry out all deletion requests that are due
#
# What a schedule or a ticket starts. Requests for one model and one data set become one forget
# set, one edit, one successor; every request gets an outcome of its own.
#
#     lethe requests process
#
# It may be started at any time and as often as wanted: what was begun is finished, nothing is done
# twice, and two of them never work on the same model.
"""The flow `deletion-requests`: weigh, claim, carry out, settle, answer."""

from prefect import flow, get_run_logger

from flows.carry_out import carry_out
from lethe.deletion.answers.deliver import Delivered
from lethe.deletion.policy.judge import plan
from lethe.errors import LetheError
from lethe.settings import load_settings
from tasks.answer import answer
from tasks.claim import claim_next
from tasks.desk import open_desk
from tasks.results import BatchResult, ProcessResult
from tasks.settle import settle
from tasks.weigh import weigh_requests


@flow(name="deletion-requests", persist_result=False)
def deletion_requests(models: list[str] | None = None, max_batches: int = 64) -> ProcessResult:
    """Process the ledger.

    Args:
        models: only requests for these, by registered name or as they name it; default: all.
        max_batches: stop after this many edits; what is left waits for the next run. It bounds the
            cost of batches that are refused and taken apart.
    """
    logger = get_run_logger()
    results: list[BatchResult] = []
    with open_desk(load_settings()) as desk:
        # ## Hold back what may not run
        weighed = weigh_requests(desk, models=models)

        # ## One edit per batch, the most urgent first
        tried: set[str] = set()
        while len(results) < max_batches:
            batch = claim_next(desk, models=models, tried=tried)
            if batch is None:
                break
            tried.add(batch.id)
            ladder = plan(desk.policy, batch.model, desk.settings).ladder
            try:
                done = carry_out(desk, batch, ladder, newest=True)
            except LetheError as error:
                logger.warning("Batch %s: %s", batch.id, error)
                results.append(BatchResult.of(batch, error=error))
            else:
                results.append(BatchResult.of(batch, done=done))
            settle(desk, ids=[entry.id for entry in batch.entries])

        # ## What waited for a promotion, and what is owed to those who asked
        settle(desk)
        answered: Delivered = answer(desk)
        return ProcessResult(
            weighed=weighed, batches=tuple(results), sent=answered.sent, unsent=answered.failed
        )
