"""One slot per accelerator: two edits never share one."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch


@contextmanager
def device_slot(device: torch.device, worker: str | None) -> Iterator[None]:
    """Hold this worker's slot for the device while the block runs; the CPU needs none.

    The slot is a Prefect global concurrency limit named `gpu:<worker>`, made on first use. The
    worker is this host unless the setting `worker` names it.
    """
    if device.type == "cpu":
        yield
        return
    from prefect.client.orchestration import get_client
    from prefect.concurrency.sync import concurrency
    from prefect.exceptions import ObjectAlreadyExists

    name = f"gpu:{worker or socket.gethostname()}"
    # Of two workers that make the same slot at once, one finds it made.
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(name, limit=1)
    with concurrency(name, occupy=1, strict=True):
        yield
