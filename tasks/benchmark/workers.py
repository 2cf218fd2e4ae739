"""Processes that do the jobs: threads would share PyTorch's random state, and cells must not."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process


@contextmanager
def workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes of one thread each; what is not begun is dropped when the block ends."""
    # Spawned: a copy of this process would hold locks of its threads for ever.
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_start)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    """One thread, so that workers beside each other are timed fairly; end with the parent."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot tell its workers, which would go on for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
