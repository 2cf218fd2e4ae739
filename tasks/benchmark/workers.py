"""Processes that do the jobs: threads would share PyTorch's random state, and cells must not."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait


@contextmanager
def workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes of one thread each; what is not begun is dropped when the block ends.

    Where it ends with an exception, Ctrl-C among them, they are ended at once, whatever they are
    at: a job leaves nothing half done, and the pool's queue could keep them busy for minutes.
    """
    # Spawned: a copy of this process would hold locks of its threads for ever.
    context = get_context("spawn")
    told, tell = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(told,))
    try:
        yield pool
    except BaseException:
        tell.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        told.close()
        tell.close()


def _start(told: Connection) -> None:
    """One thread, so that workers beside each other are timed fairly; end with the parent."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
    threading.Thread(target=_end_when_told, args=(told,), daemon=True).start()


def _end_when_told(told: Connection) -> None:
    """A parent that was killed cannot tell its workers, which would go on for ever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel, told])  # nothing is ever sent: ready means closed
        os._exit(1)
