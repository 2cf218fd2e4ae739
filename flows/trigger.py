# # Start processing at once
#
# A request that may not wait for the next scheduled run starts one of its own: the intake service
# sends a `trigger` letter from its outbox, and this makes a run of the Prefect deployment of it.
#
# A letter that is sent twice starts one run: the letter's key is the run's idempotency key. While a
# run waits, further letters start none: a request is in the ledger before its letter is, and a run
# reads the ledger only once it is running, so the one that waits will see this request too. A run
# that is running already may be past it, so then the letter starts another.
#
# A run that was handed to a worker and did not begin in ten minutes is not relied on: its worker
# may be gone. What no run takes up waits in the ledger for the next scheduled one.
"""What the intake service's outbox calls to have requests carried out at once."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lethe.deletion.answers.errors import SendError
from lethe.deletion.ledger.types import Letter
from lethe.logs import trail
from lethe.settings import Settings

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

TAG = "at-once"
# Longest from a worker's taking a run to its beginning that is believed in.
START = timedelta(minutes=10)
SECONDS_PER_CALL = 15
# A Prefect server on SQLite answers 503 while another transaction writes: over in a moment.
BUSY = 503
PAUSES_WHEN_BUSY = (0.1, 0.3, 1.0)


def trigger_sender(settings: Settings) -> Callable[[Letter], None]:
    """A sender of `trigger` letters: each makes sure that a run is going to take its request up.

    It raises `SendError` where no run was made: no server is set, it does not answer, or it has no
    such deployment. All of these are the same for every letter, so the error says `down`.
    """

    def send(letter: Letter) -> None:
        run = ensure_run(settings, letter.key)
        ids = {"request_id": letter.request_id, "flow_run_id": run}
        trail.info("A run is going to take it up", extra=ids)

    return send


def ensure_run(settings: Settings, key: str) -> str:
    """Make sure that a run is going to look at the ledger; the run's id.

    Args:
        settings: `intake.deployment` names what is run.
        key: the run's idempotency key; the same again makes no second run.

    Raises:
        SendError: if no run could be made, and none was there.
    """
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    name = settings.intake.deployment
    if not PREFECT_API_URL.value():
        # Prefect would start a server of its own, which has no deployments and no workers.
        raise SendError("PREFECT_API_URL is not set", down=True)
    if name.count("/") != 1:
        raise SendError("intake.deployment is not FLOW/DEPLOYMENT", down=True)
    try:
        # The outbox tries again; Prefect's client would hold up everything else for a minute.
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(sync_client=True, httpx_settings={"timeout": SECONDS_PER_CALL}) as client,
        ):
            return _patiently(lambda: _ensure_run(client, name, key))
    except ObjectNotFound:
        raise SendError(f"Prefect has no deployment {name}", down=True) from None
    except PrefectHTTPStatusError as error:
        raise SendError(f"Prefect answered {error.response.status_code}", down=True) from None
    except (HTTPError, RuntimeError) as error:
        what = f"Prefect cannot be reached: {type(error).__name__}"
        raise SendError(what, down=True) from None


def _patiently(call: Callable[[], str]) -> str:
    """Call, and again after each pause while the server is busy; what it does is idempotent."""
    from prefect.exceptions import PrefectHTTPStatusError

    for pause in PAUSES_WHEN_BUSY:
        try:
            return call()
        except PrefectHTTPStatusError as error:
            if error.response.status_code != BUSY:
                raise
        time.sleep(pause)
    return call()


def _ensure_run(client: "SyncPrefectClient", name: str, key: str) -> str:
    """Make a run of the deployment with this idempotency key, unless one waits that will do."""
    deployment = client.read_deployment_by_name(name)
    waits = _one_that_waits(client, deployment.id)
    if waits is not None:
        return waits
    made = client.create_flow_run_from_deployment(deployment.id, idempotency_key=key, tags=[TAG])
    return str(made.id)


def _one_that_waits(client: "SyncPrefectClient", deployment_id: "UUID") -> str | None:
    """A run for at-once requests that was made and has not begun: it will see this one too."""
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    waiting = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[TAG]),
            state=FlowRunFilterState(
                type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])
            ),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
    )
    since = datetime.now(UTC) - START
    good = (
        str(run.id)
        for run in waiting
        if run.state is not None
        and (run.state.type is StateType.SCHEDULED or run.state.timestamp > since)
    )
    return next(good, None)
