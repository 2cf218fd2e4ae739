"""The policy of a running service: read again when its file changes.

A file that has become wrong, or has vanished, does not stop the service and opens nothing: the last
good policy goes on, the log says why, and `/readyz` says that it is so.

    policy = LivePolicy(settings)       # PolicyError if the file is wrong from the start
    policy()                            # the policy that holds now
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from lethe.deletion.policy.load import load_policy
from lethe.deletion.policy.model import Policy
from lethe.errors import LetheError, PolicyError
from lethe.settings import Settings

log = logging.getLogger("lethe.intake")

# A look at the file's time at most this often.
LOOK_SECONDS = 1.0

_Stamp = tuple[int, int, int] | None


class LivePolicy:
    """A callable that gives the policy that holds now; thread-safe.

    Args:
        settings: name the file. One that does not exist gives the policy without any source,
            until it is written.
        clock: seconds, growing.

    Raises:
        PolicyError: if the file is wrong when the service starts.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._path = settings.policy_file
        self._clock = clock
        self._lock = Lock()
        self._stamp = _stamp(self._path)
        self._policy = load_policy(self._path, settings)
        self._looked = clock()
        self.stale = False

    def __call__(self) -> Policy:
        """The policy."""
        with self._lock:
            if self._clock() - self._looked >= LOOK_SECONDS:
                self._looked = self._clock()
                self._look()
            return self._policy

    def _look(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            if stamp is None:
                raise PolicyError(f"{self._path} is gone. Restore it.")
            self._policy = load_policy(self._path, self._settings)
        except (LetheError, OSError) as error:
            self.stale = True
            why = str(error) if isinstance(error, LetheError) else type(error).__name__
            log.error("The policy was not read again; the last good one stays: %s", why)  # noqa: TRY400 (no traceback wanted)
            return
        self.stale = False
        log.info("The policy was read again: %s", self._policy.label)


def _stamp(path: Path) -> _Stamp:
    """What changes when a file is written or replaced; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
