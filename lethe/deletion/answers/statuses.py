"""What a status code of a target means for a letter.

| status                                     | what happens                                        |
|--------------------------------------------|-----------------------------------------------------|
| 2xx                                        | it arrived                                          |
| 429, 403 or 5xx with a limit in the headers| again when the limit ends                           |
| 429 without                                | again after a minute at least                       |
| 401, 403                                   | again after an hour: a token may be being replaced  |
| 404, 410 and what else the target names    | given up at once                                    |
| everything else, redirects too             | again, later and later                              |

The limit's end is `Retry-After` (RFC 9110, 10.2.3: seconds or a date), or `X-RateLimit-Reset` when
`X-RateLimit-Remaining` is 0 (docs.github.com, "Rate limits for the REST API"). At most a day is
believed.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.http import Reply

GONE = frozenset({404, 410})
# The same bytes would be refused again.
REFUSED = frozenset({400, 405, 406, 409, 411, 413, 414, 415, 422, 451}) | GONE
SLOWLY = timedelta(hours=1)
_SHORTEST = timedelta(minutes=1)
_LONGEST = timedelta(days=1)
_NOT_LET_IN = frozenset({401, 403})


def check(reply: Reply, *, permanent: Collection[int] = REFUSED, now: datetime) -> None:
    """Accept a 2xx.

    Args:
        reply: of the target.
        permanent: statuses after which there is no point in another try.
        now: with a time zone; for limits given as a date.

    Raises:
        SendError: for any other status, with what to do about it.
    """
    if reply.ok:
        return
    what = f"HTTP {reply.status}"
    limit = limit_end(reply.headers, now)
    if reply.status in permanent and (limit is None or reply.status in GONE):
        raise SendError(what, permanent=True)
    if limit is not None:
        raise SendError(what, retry_after=limit, down=True)
    if reply.status == 429:
        raise SendError(what, retry_after=_SHORTEST, down=True)
    if reply.status in _NOT_LET_IN:
        raise SendError(what, retry_after=SLOWLY, down=True)
    raise SendError(what)


def limit_end(headers: httpx.Headers, now: datetime) -> timedelta | None:
    """How long a target asks to be left alone; None if it does not."""
    if (text := headers.get("retry-after")) is not None:
        wait = _seconds(text)
        wait = _until(text, now) if wait is None else wait
    elif headers.get("x-ratelimit-remaining") == "0":
        reset = _seconds(headers.get("x-ratelimit-reset", ""))
        wait = None if reset is None else reset - (now - datetime.fromtimestamp(0, tz=UTC))
    else:
        return None
    return None if wait is None else min(max(wait, timedelta()), _LONGEST)


def _seconds(text: str) -> timedelta | None:
    text = text.strip()
    return timedelta(seconds=int(text)) if text.isdecimal() and len(text) <= 12 else None


def _until(text: str, now: datetime) -> timedelta | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
