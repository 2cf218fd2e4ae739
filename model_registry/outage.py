"""Whether MLflow, or the artifact store behind it, was away: that is nobody's fault who asked.

MLflow's client has tried for minutes by then. What it raises depends on what was called: its own
exception, that of `requests` where artifacts pass through the server, or one in the other's wake.
"""

import errno
import re
from collections.abc import Iterator

from lethe.errors import RegistryError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# How MLflow's client tells of an answer that is no JSON; the same class is raised for much else.
ANSWERED = "API request to endpoint"
# urllib3 keeps the status of the last answer in its words alone, once it gives up trying again.
_GAVE_UP = re.compile(r"too many (\d{3}) error responses")


def as_outage(error: BaseException) -> RegistryError | None:
    """The error of a service that was away, in words that may be kept; None for any other error.

    A connection that failed, an answer of 500 and above, a disk without space here or there. The
    text of the answer is left out: it may hold anything.

    Args:
        error: what a step raised.
    """
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in FULL:
            return _waits("There is no space left on this machine's disk", "Free some")
        status = _status(one)
        if status is not None and status >= 500:
            what = f"MLflow answered {status}, for itself or its artifact store"
            return _waits(what, "Check that both run and have space left")
        if status is None and _is_connection(one):
            return _waits("MLflow did not answer", "Check that it runs")
    return None


def _waits(what: str, mend: str) -> RegistryError:
    return RegistryError(
        f"{what}. What was recorded before stays, aliases are unchanged, and the requests wait for "
        f"the next run. {mend}, then type `lethe requests process`, or leave it to the schedule."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from or during, once each."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _status(error: BaseException) -> int | None:
    """The HTTP status that a server answered with, if this error tells one."""
    from mlflow.exceptions import MlflowException, RestException
    from requests.exceptions import RetryError

    if isinstance(error, RetryError):
        told = _GAVE_UP.search(str(error))
        return int(told[1]) if told else 500
    if isinstance(error, RestException):
        return int(error.get_http_status_code())
    if isinstance(error, MlflowException) and str(error).startswith(ANSWERED):
        return int(error.get_http_status_code())
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def _is_connection(error: BaseException) -> bool:
    from requests.exceptions import RequestException

    return isinstance(error, RequestException)
