# # Start processing at once
#
# A request that may not wait for the next scheduled run starts one of its own: the intake service
# sends a `trigger` letter from its outbox, and this makes a run of the Prefect deployment of it.
# A letter that is sent twice starts one run: the letter's key is the run's idempotency key.
"""What the intake service's outbox calls to have requests carried out at once."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from lethe.deletion.answers.errors import SendError
from lethe.deletion.ledger.types import Letter
from lethe.settings import Settings

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient


def trigger_sender(settings: Settings) -> Callable[[Letter], None]:
    """A sender of `trigger` letters: each makes sure that a run is going to take its request up."""

    def send(letter: Letter) -> None:
        from httpx import HTTPError
        from prefect.client.orchestration import get_client
        from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

        try:
            with get_client(sync_client=True) as client:
                deployment = client.read_deployment_by_name(settings.intake.deployment)
                if not _one_waits(client, deployment.id):
                    client.create_flow_run_from_deployment(
                        deployment.id, idempotency_key=letter.key, tags=["at-once"]
                    )
        except ObjectNotFound:
            message = f"there is no deployment {settings.intake.deployment}"
            raise SendError(message) from None
        except PrefectHTTPStatusError as error:
            message = f"Prefect answered {error.response.status_code}"
            raise SendError(message) from None
        except (HTTPError, RuntimeError) as error:
            message = f"Prefect cannot be reached: {type(error).__name__}"
            raise SendError(message) from None

    return send


def _one_waits(client: "SyncPrefectClient", deployment_id: "UUID") -> bool:
    """Whether a run for at-once requests was made that has not begun: it will see this one too."""
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.objects import StateType

    return bool(
        client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
            flow_run_filter=FlowRunFilter(
                tags=FlowRunFilterTags(all_=["at-once"]),
                state=FlowRunFilterState(
                    type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])
                ),
            ),
            limit=1,
        )
    )
