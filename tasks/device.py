"""One slot per accelerator: two edits never share one."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

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

    name = f"gpu:{worker or socket.gethostname()}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, limit=1)
    with concurrency(name, occupy=1, strict=True):
        yield
