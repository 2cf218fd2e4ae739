"""How many GPUs this machine has, without importing torch."""

import shutil
import subprocess


def gpu_count() -> int:
    """GPUs that `nvidia-smi` lists; 0 where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    listed = subprocess.run(
        [tool, "--list-gpus"], capture_output=True, text=True, check=False, timeout=30
    )
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
