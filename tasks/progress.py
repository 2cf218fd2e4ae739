"""Progress of long steps: a bar in the terminal and a progress artifact in the Prefect UI."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_UPDATES = 2.0


@contextmanager
def progress(step: str) -> Iterator[Callable[[int, int], None]]:
    """Give a callback that takes (done, total) and shows it.

    The artifact is made only for steps that outlast the update interval: short ones would spend
    more time telling than working.
    """
    columns = (TextColumn("{task.description:<22}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(step, total=None)
        artifact: UUID | None = None
        told = time.monotonic()

        def report(done: int, total: int) -> None:
            nonlocal artifact, told
            bars.update(bar, completed=done, total=total)
            if TaskRunContext.get() is None or time.monotonic() - told < SECONDS_BETWEEN_UPDATES:
                return
            told = time.monotonic()
            share = 100.0 * done / max(total, 1)
            if artifact is None:
                artifact = _uuid(create_progress_artifact(share, description=step))
            else:
                update_progress_artifact(artifact, share)

        yield report
        if artifact is not None:
            update_progress_artifact(artifact, 100.0)


def _uuid(value: object) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))
