# # Carry out all deletion requests that are due
#
# What a schedule or a ticket starts. Requests for one model and one data set become one forget
# set, one edit, one successor; every request gets an outcome of its own.
#
#     lethe requests process
#
# It may be started at any time and as often as wanted: what was begun is finished, nothing is done
# twice, and two of them never work on the same model.
"""The flow `deletion-requests`: weigh, claim, carry out, settle, answer, purge."""

from collections import Counter
from typing import Any

from prefect import flow, get_run_logger
from prefect.context import get_run_context

from flows.carry_out import carry_out
from flows.share import share
from lethe.deletion.answers.deliver import Delivered
from lethe.deletion.ledger.types import Batch
from lethe.deletion.policy.judge import plan
from lethe.errors import LetheError
from lethe.settings import load_settings
from tasks.answer import answer
from tasks.claim import claim_next
from tasks.desk import Desk, open_desk
from tasks.purge import purge
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
        weighed: Counter[str] = Counter()
        tried: set[str] = set()
        try:
            # ## What an earlier run registered comes first: the next edit builds upon it
            settle(desk)
            while len(results) < max_batches:
                # ## Hold back what may not run; tickets come in while others are carried out
                del weighed["unreadable"]  # counted anew
                weighed.update(weigh_requests(desk, models=models))

                # ## One edit per batch, the most urgent first
                batch = claim_next(desk, models=models, tried=tried)
                if batch is None:
                    break
                tried.add(batch.id)
                if models is None and _is_deployed():
                    share(desk, batch)
                results.append(_carry_out(desk, batch, logger))
                settle(desk)
        finally:
            # ## What is owed to those who asked
            answered: Delivered = answer(desk)

        # ## What was kept for long enough
        purge(desk)
        return ProcessResult(
            weighed=dict(weighed),
            batches=tuple(results),
            sent=answered.sent,
            unsent=answered.failed,
        )


def _is_deployed() -> bool:
    """Whether a worker runs this for a deployment, so that another worker may too."""
    run = getattr(get_run_context(), "flow_run", None)
    return run is not None and run.deployment_id is not None


def _carry_out(desk: Desk, batch: Batch, logger: Any) -> BatchResult:
    """One batch; what goes wrong with it is told and does not stop the others."""
    ladder = plan(desk.policy, batch.model, desk.settings).ladder
    try:
        done = carry_out(desk, batch, ladder, newest=True)
    except LetheError as error:
        logger.warning("Batch %s: %s", batch.id, error)
        return BatchResult.of(batch, error=str(error))
    except Exception as error:  # noqa: BLE001 (a full disk or a lost GPU is not the others' fault)
        # Its text may hold anything.
        logger.error("Batch %s: %s", batch.id, type(error).__name__)  # noqa: TRY400
        return BatchResult.of(batch, error=f"It was cut short: {type(error).__name__}")
    return BatchResult.of(batch, done=done)
