"""Where to compute."""

from typing import Literal

import torch

from lethe.errors import SettingsError

DeviceName = Literal["auto", "cuda", "mps", "cpu"]


def pick_device(name: DeviceName = "auto") -> torch.device:
    """The named device, or with `auto` the best there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        SettingsError: if the named device is not on this machine.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, here in present.items() if here))
    if not present[name]:
        raise SettingsError(
            f"Device {name!r} is not on this machine. Nothing was done. "
            f"Set LETHE_DEVICE=auto to take the best there is."
        )
    return torch.device(name)
