"""Automations of a Prefect server: who is told when a run fails or a request is late.

    STACK_NOTIFY_URL=https://hooks.example.org/lethe python -m infra.stack.automations

Both call the address with JSON. It is kept in a block, as a secret. Again, the same two are there,
with the address that was given last. Without an address there is nobody to tell, and none is made.
"""

import json
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

BLOCK = "lethe-notify"
OVERDUE = "overdue-requests"
# What a failed run's text may hold is not sent: the run's page has it, for those who may see it.
BODY = {
    "text": "{{ flow.name }}/{{ flow_run.name }} is {{ flow_run.state.name }}",
    "run": "{{ flow_run|ui_url }}",
}


def automations(block: "UUID", overdue: "UUID") -> list[Any]:
    """The two, as Prefect's client takes them.

    Args:
        block: the block with the address.
        overdue: the flow that fails when a request is past its deadline.
    """
    from prefect.events import EventTrigger, Posture
    from prefect.events.actions import CallWebhook
    from prefect.events.schemas.automations import AutomationCore

    ended = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}
    runs = {"prefect.resource.id": "prefect.flow-run.*"}

    def one(name: str, text: str, related: dict[str, Any] | None, body: dict[str, str]) -> Any:
        trigger = EventTrigger(
            expect=ended,
            match=runs,
            match_related=related or {},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        )
        call = CallWebhook(block_document_id=block, payload=json.dumps(body))
        return AutomationCore(
            name=name, description=text, enabled=True, trigger=trigger, actions=[call]
        )

    of_overdue = {
        "prefect.resource.role": "flow",
        "prefect.resource.id": f"prefect.flow.{overdue}",
    }
    late = BODY | {"text": "A deletion request is past its deadline: see `lethe requests list`"}
    return [
        one("lethe: a run failed", "Failed, crashed or timed out.", None, BODY),
        one("lethe: a request is overdue", "Its deadline has passed.", of_overdue, late),
    ]


def ensure(address: str) -> list[str]:
    """Make or renew block and automations; the automations' names."""
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client
    from pydantic import SecretStr

    block = Webhook(url=SecretStr(address), method="POST", allow_private_urls=True)
    saved = cast("UUID", block.save(BLOCK, overwrite=True))
    with get_client(sync_client=True) as client:
        made = automations(saved, client.create_flow_from_name(OVERDUE))
        for one in made:
            _replace(client, one)
    return [one.name for one in made]


def _replace(client: "SyncPrefectClient", one: Any) -> None:
    for known in client.read_automations_by_name(one.name):
        client.delete_automation(known.id)
    client.create_automation(one)


if __name__ == "__main__":
    for name in ensure(os.environ["STACK_NOTIFY_URL"]):
        sys.stdout.write(f"{name}\n")
