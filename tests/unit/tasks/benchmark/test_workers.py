"""Worker processes."""

import os
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from tasks.benchmark.workers import workers

PROGRAM = """
import os, sys
from tasks.benchmark.workers import workers
if __name__ == "__main__":
    with workers(1) as pool:
        sys.stdout.write(f"{pool.submit(os.getpid).result()}\\n")
        sys.stdout.flush()
        sys.stdin.read()
"""


def threads():
    import torch

    return torch.get_num_threads()


def begin_and_wait(began):
    began.touch()
    threading.Event().wait()


def test_a_worker_computes_in_one_thread():
    with workers(1) as pool:
        assert pool.submit(threads).result() == 1


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    """Orphans would wait for work for ever."""
    program = tmp_path / "parent.py"
    program.write_text(PROGRAM, encoding="utf-8")
    parent = subprocess.Popen(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    watched = os.pidfd_open(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    ended, _, _ = select.select([watched], [], [], 60)  # readable once the process has ended
    os.close(watched)
    assert ended


def test_a_block_that_fails_ends_what_its_workers_are_at(tmp_path):
    """Their work would take until the event comes, which is never."""
    began, endless = tmp_path / "began", []

    def interrupted():
        with workers(1) as pool:
            endless.extend(pool.submit(begin_and_wait, began) for _ in range(3))
            while not began.exists():
                wait(endless, timeout=0.05)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(one.done() for one in endless)
    with pytest.raises(BrokenProcessPool):
        endless[0].result()
