"""One slot per accelerator and worker; the CPU needs none."""

import threading

import pytest
import torch
from prefect.client.orchestration import get_client

from tasks.device import device_slot

pytestmark = pytest.mark.usefixtures("prefect_server")


def slots():
    with get_client(sync_client=True) as client:
        found = client.read_global_concurrency_limits(limit=50, offset=0)
    return {slot.name: slot.limit for slot in found}


def test_two_edits_never_share_an_accelerator():
    inside, seen = 0, []
    lock, pause = threading.Lock(), threading.Event()

    def edit():
        nonlocal inside
        with device_slot(torch.device("cuda"), "worker-a"):
            with lock:
                inside += 1
                seen.append(inside)
            pause.wait(0.3)  # long enough for another to come in, if it could
            with lock:
                inside -= 1

    threads = [threading.Thread(target=edit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1, 1, 1]
    assert slots()["gpu:worker-a"] == 1


def test_the_cpu_needs_no_slot():
    with device_slot(torch.device("cpu"), "worker-b"):
        assert "gpu:worker-b" not in slots()
