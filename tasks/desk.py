"""Where deletion requests are worked on: settings, policy and ledger, opened together."""

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from lethe.deletion.answers.announce import announcer
from lethe.deletion.ledger.ledger import Ledger, open_ledger
from lethe.deletion.policy.load import load_policy
from lethe.deletion.policy.model import Policy
from lethe.keys import record_key
from lethe.logs import bound, configure
from lethe.settings import Settings

FOLDER = "workers"


@dataclass(frozen=True)
class Desk:
    """Settings, policy and ledger, and the name under which this process works."""

    settings: Settings
    policy: Policy
    ledger: Ledger
    worker: str

    @property
    def lease(self) -> timedelta:
        """How long a batch stays this process's own after the last sign of life."""
        return timedelta(seconds=self.settings.ledger.lease_seconds)

    def gone(self, worker: str) -> bool:
        """Whether a worker of this machine's state folder is known to be dead.

        A worker holds a lock on a file of its own; the lock ends with its process, however it
        ends. A worker that left no file here works elsewhere: its lease decides.
        """
        path = self.settings.state / FOLDER / f"{worker}.lock"
        if worker == self.worker or not path.exists():
            return False
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True


@contextmanager
def open_desk(settings: Settings) -> Iterator[Desk]:
    """Open the policy and the ledger for this process, and close the ledger afterwards.

    Raises:
        PolicyError: if the policy file is wrong; nothing was opened.
        RequestError: if the ledger cannot be opened.
    """
    policy = load_policy(settings.policy_file, settings)
    ledger = open_ledger(
        settings.ledger_url,
        key=record_key(settings.record_key_file),
        announce=announcer(policy, settings),
    )
    configure(settings)
    with ledger, _named(settings.state / FOLDER) as worker, bound(**_run_ids()):
        yield Desk(settings, policy, ledger, worker)


def _run_ids() -> dict[str, str]:
    """The ids that log lines carry inside a flow run; none outside."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return {}
    return {"flow_run_id": str(context.flow_run.id)}


@contextmanager
def _named(folder: Path) -> Iterator[str]:
    """A name of its own for this process, held by a lock while it works."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    path = folder / f"{worker}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield worker
        finally:
            path.unlink(missing_ok=True)
