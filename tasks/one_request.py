"""One request, carried out now because a person says so."""

from collections.abc import Mapping
from datetime import UTC, datetime

from prefect import task

from lethe.deletion.ledger.types import Batch, Entry
from lethe.deletion.policy.judge import judge
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.errors import RequestError
from lethe.settings import Settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.version import parse_number
from tasks.desk import Desk, open_desk
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY
from tasks.results import Status, UnlearnResult
from tasks.weigh import weigh_requests

OPERATOR = "cli"  # the source of what a person with a shell filed
DONE = frozenset({State.REGISTERED, State.PROMOTED, State.ERASING, State.COMPLETED, State.PARTIAL})
NEXT = {
    State.RECEIVED: "lethe requests show {id}",
    State.AWAITING_APPROVAL: "lethe requests approve {id}",
    State.HELD: "lethe requests release {id}",
    State.DUPLICATE: "lethe unlearn --request {duplicate_of}",
    State.REJECTED: "lethe requests show {id}",
    State.CANCELLED: "lethe requests show {id}",
}


def file_request(settings: Settings, request: DeletionRequest, *, actor: str = "cli") -> Entry:
    """File a request, judged by the policy; filing the same one again returns what is there.

    Raises:
        RequestError: if another request has its id.
    """
    with open_desk(settings) as desk:
        judgement = judge(desk.policy, request, now=datetime.now(UTC))
        return desk.ledger.file(request, judgement, actor=actor)


@task(**SAFE_TO_RETRY)
def ended(desk: Desk, request_id: str) -> bool:
    """Whether the request was carried out before."""
    return desk.ledger.get(request_id).state in DONE


@task(**IN_MEMORY)
def take(desk: Desk, request_id: str) -> Batch:
    """Claim a request by itself; one that was refused or failed is tried again.

    Raises:
        RequestError: if it is not approved, or another worker is at it or at its model.
    """
    entry = desk.ledger.get(request_id)
    if entry.state in {State.REFUSED, State.FAILED}:
        entry = desk.ledger.retry(entry.id, actor=desk.worker)
    if entry.request.source != OPERATOR:
        # What a stranger wrote is counted and never named; errors further on may name it.
        weigh_requests.fn(desk, ids=[entry.id])
        entry = desk.ledger.get(entry.id)
    if entry.state in NEXT:
        command = NEXT[entry.state].format(id=entry.id, duplicate_of=entry.duplicate_of)
        raise RequestError(
            f"Request {entry.id} is {entry.state}: {entry.reason}. Nothing was done. "
            f"Go on with `{command}`."
        )
    desk.ledger.many.free(desk.gone)
    batch = desk.ledger.claim(
        desk.worker, lease=desk.lease, limit=desk.settings.ledger.batch_limit, ids=[entry.id]
    )
    if batch is None:
        raise RequestError(
            f"Request {entry.id}, or another one for {entry.request.model}, is being carried out "
            f"by another process. This one did nothing. See how far it is with "
            f"`lethe requests show {entry.id}`."
        )
    return batch


@task(**SAFE_TO_RETRY)
def result_of(
    desk: Desk, request_id: str, *, registered: bool, aliases: Mapping[str, str]
) -> UnlearnResult:
    """What became of a request that was carried out now or before."""
    facts = desk.ledger.get(request_id).facts
    successor = str(facts.successor)
    ref = parse_number(successor)
    record = connect(desk.settings).get_model_version(ref.name, str(ref.number))
    return UnlearnResult(
        status=Status.REGISTERED if registered else Status.ALREADY_FORGOTTEN,
        request_id=request_id,
        parent=record.tags[tags.PARENT],
        successor=successor,
        verdict=record.tags[tags.VERDICT],
        reason=record.tags[tags.REASON],
        run_id=record.run_id,
        alias=aliases.get(successor),
    )
