# # Block now what is forgotten later
#
# One or more deletion requests that wait to be carried out, and a version that answers without
# them at once:
#
#     lethe quarantine place digits@champion --dataset data/digits --classes 3
#     lethe quarantine waiting
#     lethe quarantine lift digits@champion
#
# Nothing is forgotten: the weights are the parent's, under a patch. The requests keep their states
# and are carried out as if there were no quarantine, on the version under it.
"""The flows `quarantine` and `quarantine-waiting`: patch, measure, register, serve."""

from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger
from pydantic import BaseModel, ConfigDict

from lethe.deletion.policy.judge import plan as policy_of
from lethe.errors import LetheError
from lethe.models.device import pick_device
from lethe.settings import load_settings
from tasks.desk import Desk, open_desk
from tasks.device import device_slot
from tasks.notary import open_notary
from tasks.quarantine import make_quarantine, plan_quarantine, unblocked
from tasks.quarantine_record import find_quarantine, register_quarantine, serve


class QuarantineResult(BaseModel):
    """The version that blocks, and how far: plain facts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: str
    parent: str
    requests: tuple[str, ...]
    verdict: str
    reason: str
    coverage: str
    run_id: str
    alias: str | None
    reused: bool


class WaitingResult(BaseModel):
    """What a run of `quarantine-waiting` placed, and what it could not place, by request ids."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    placed: tuple[QuarantineResult, ...]
    failed: dict[str, str]


@flow(name="quarantine", persist_result=False)
def quarantine(
    request_ids: list[str], options: dict[str, Any] | None = None, promote: bool | None = None
) -> QuarantineResult:
    """Block what waiting requests ask for, on the version that is served.

    Args:
        request_ids: ids of requests for one model that are not carried out yet. Those that stand
            in quarantine on the same model already are blocked by the new version too.
        options: settings of the method `prune`.
        promote: move the alias to the quarantine; default: the policy's wish, else the setting
            `models.promote`.

    Raises:
        RefusedError: if it blocks too little or costs too much; nothing was registered.
        LetheError: if the input cannot be worked with; nothing was computed.
    """
    with open_desk(load_settings()) as desk:
        return _place(desk, request_ids, options, promote)


@flow(name="quarantine-waiting", persist_result=False)
def quarantine_waiting() -> WaitingResult:
    """Block what approved requests ask for, where the policy wants that, and nothing blocks yet.

    One model's failure does not keep the others open: it is told with its requests. Run it as often
    as wanted; what stands is left alone.
    """
    logger = get_run_logger()
    placed: list[QuarantineResult] = []
    failed: dict[str, str] = {}
    with open_desk(load_settings()) as desk:
        for ids in unblocked(desk):
            try:
                placed.append(_place(desk, ids))
            except LetheError as error:
                logger.warning("Quarantine of %s: %s", ", ".join(ids), error)
                failed |= dict.fromkeys(ids, str(error))
    return WaitingResult(placed=tuple(placed), failed=failed)


def _place(
    desk: Desk,
    ids: Sequence[str],
    options: dict[str, Any] | None = None,
    promote: bool | None = None,
) -> QuarantineResult:
    settings = desk.settings
    notary = open_notary(settings, desk.ledger)
    plan = plan_quarantine(desk, ids, options)
    done = find_quarantine(plan)
    if done is None:
        with device_slot(pick_device(settings.device), settings.worker):
            made = make_quarantine(plan)
        done = register_quarantine(plan, made, notary)
    wish = policy_of(desk.policy, plan.batch.model, settings).promote
    alias = serve(desk, plan, done, move=bool(wish if promote is None else promote))
    return QuarantineResult(
        version=str(done.version),
        parent=str(done.parent),
        requests=done.requests,
        verdict=done.verdict,
        reason=done.reason,
        coverage=done.coverage,
        run_id=done.run_id,
        alias=alias,
        reused=done.reused,
    )
