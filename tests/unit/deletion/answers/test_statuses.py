from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.http import Reply
from lethe.deletion.answers.statuses import check

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def outcome(status, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(SendError) as caught:
        check(Reply(status, httpx.Headers(names), b""), now=NOW)
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_2xx_is_taken(status):
    check(Reply(status, httpx.Headers(), b""), now=NOW)


@pytest.mark.parametrize("status", [404, 410, 400, 422])
def test_what_another_try_would_not_change_is_given_up(status):
    assert outcome(status).permanent


@pytest.mark.parametrize("status", [301, 302, 418, 500, 502, 503])
def test_what_may_pass_is_tried_again_by_the_deliverers_own_rule(status):
    error = outcome(status)
    assert (error.permanent, error.retry_after) == (False, None)
    assert error.what == f"HTTP {status}"


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_not_let_in_may_be_being_replaced(status):
    error = outcome(status)
    assert (error.permanent, error.retry_after, error.down) == (False, HOUR, True)


@pytest.mark.parametrize("status", [403, 429, 503])
@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("0", timedelta()),
        ("90", timedelta(seconds=90)),
        ("Sat, 21 Nov 2026 12:05:00 GMT", 5 * MINUTE),
        ("Sat, 21 Nov 2026 11:00:00 GMT", timedelta()),
        ("999999999999", timedelta(days=1)),
    ],
)
def test_retry_after_is_kept_to(status, text, wait):
    error = outcome(status, retry_after=text)
    assert (error.retry_after, error.down, error.permanent) == (wait, True, False)


@pytest.mark.parametrize("status", [403, 429])
def test_githubs_limit_ends_at_its_reset(status):
    reset = str(int((NOW + 10 * MINUTE).timestamp()))
    error = outcome(status, x_ratelimit_remaining="0", x_ratelimit_reset=reset)
    assert error.retry_after == 10 * MINUTE


def test_a_limit_that_is_not_reached_is_none():
    reset = str(int((NOW + 10 * MINUTE).timestamp()))
    assert outcome(403, x_ratelimit_remaining="7", x_ratelimit_reset=reset).retry_after == HOUR


def test_429_without_a_time_waits_a_minute():
    assert outcome(429).retry_after == MINUTE


@given(st.integers(300, 599), st.text(max_size=30), st.text(max_size=30), st.text(max_size=3))
def test_no_header_of_a_target_breaks_us(status, after, reset, remaining):
    headers = httpx.Headers(
        [
            (b"retry-after", after.encode()),
            (b"x-ratelimit-reset", reset.encode()),
            (b"x-ratelimit-remaining", remaining.encode()),
        ]
    )
    with pytest.raises(SendError) as caught:
        check(Reply(status, headers, b""), now=NOW)
    wait = caught.value.retry_after
    assert wait is None or timedelta() <= wait <= timedelta(days=1)
