"""Memory is looked at before the work; then the CPU takes over or the requests wait."""

from itertools import count

import pytest
import torch

import tasks.device
from lethe.errors import DeviceError
from lethe.settings import Settings
from lethe.settings_sections import AcceleratorSettings
from tasks.device import MIB, ready_device

GPU = torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(tasks.device, "pick_device", lambda name: GPU)


def ask(free, **rule):
    """The device where `free` MiB are free, one figure per look; and how often was paused."""
    looks, pauses, clock = iter(free), [], count(step=10)
    device = ready_device(
        Settings(accelerator=AcceleratorSettings(**rule)),
        free_bytes=lambda _: next(looks) * MIB,
        pause=pauses.append,
        now=lambda: float(next(clock)),
    )
    return device.type, len(pauses)


def test_with_enough_free_it_begins_at_once(gpu):
    assert ask([1000], free_memory_mib=1000, otherwise="wait") == ("cuda", 0)


def test_with_too_little_free_the_cpu_takes_over(gpu):
    assert ask([999], free_memory_mib=1000, otherwise="cpu") == ("cpu", 0)


def test_it_waits_until_enough_is_free(gpu):
    found = ask([10, 20, 2000], free_memory_mib=1000, otherwise="wait", wait_seconds=600)
    assert found == ("cuda", 2)


def test_it_gives_up_after_the_longest_wait_and_says_what_is_free(gpu):
    with pytest.raises(DeviceError, match=r"20 MiB free.*asks for 1000"):
        ask([10, 20, 20, 20], free_memory_mib=1000, otherwise="wait", wait_seconds=15)


def test_without_an_accelerator_the_cpu_computes_or_the_requests_wait(monkeypatch):
    monkeypatch.setattr(tasks.device, "pick_device", lambda name: torch.device("cpu"))
    assert ask([], otherwise="cpu") == ("cpu", 0)
    with pytest.raises(DeviceError, match="no accelerator"):
        ask([], otherwise="wait")


def test_who_asks_for_the_cpu_gets_it_whatever_else_is_set():
    settings = Settings(device="cpu", accelerator=AcceleratorSettings(otherwise="wait"))
    assert ready_device(settings).type == "cpu"
