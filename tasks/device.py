"""Which device, with how much memory free; one slot per accelerator: two edits never share one."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch

from lethe.errors import DeviceError
from lethe.models.device import pick_device
from lethe.settings import Settings

MIB = 1024 * 1024
PAUSE = 5.0
log = logging.getLogger("lethe.device")


def _free_bytes(device: torch.device) -> int | None:
    """What is free on a GPU, None where that cannot be asked."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def ready_device(
    settings: Settings,
    *,
    free_bytes: Callable[[torch.device], int | None] = _free_bytes,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> torch.device:
    """The device to compute on, when it is ready: `accelerator` of the settings says what that is.

    Raises:
        SettingsError: if `device` names one that is not on this machine.
        DeviceError: if there is no accelerator, or too little of its memory came free in time, and
            `accelerator.otherwise` is "wait". Nothing was begun.
    """
    rule = settings.accelerator
    device = pick_device(settings.device)
    if settings.device == "cpu":
        return device
    if device.type == "cpu":
        if rule.otherwise == "cpu":
            return device
        raise DeviceError(
            "There is no accelerator on this machine, and accelerator.otherwise says to wait for "
            "one. Nothing was begun; the requests wait. Start a worker where there is one, or set "
            "LETHE_ACCELERATOR__OTHERWISE=cpu."
        )
    deadline = now() + rule.wait_seconds
    while True:
        free = free_bytes(device)
        if free is None or free >= rule.free_memory_mib * MIB:
            return device
        if rule.otherwise == "cpu":
            log.warning("%s has too little memory free: computing on the CPU", device)
            return torch.device("cpu")
        if now() >= deadline:
            raise DeviceError(
                f"{device} has {free // MIB} MiB free, and accelerator.free_memory_mib asks for "
                f"{rule.free_memory_mib}. Nothing was begun; the requests wait for the next run. "
                f"End what else computes there, or set LETHE_ACCELERATOR__OTHERWISE=cpu."
            )
        pause(PAUSE)


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
