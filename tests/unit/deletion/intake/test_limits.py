import asyncio
from datetime import timedelta

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from lethe.deletion.intake.limits import BodyLimit

pytestmark = pytest.mark.anyio
LIMIT = 100


async def length(scope, receive, send):
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


async def post(chunks, headers=(), *, then=None, in_time=5.0):
    """Status and body of an answer to a body in pieces; `then` is awaited when they are used up."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(k.encode(), v.encode()) for k, v in headers],
    }
    pieces = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    sent = []

    async def receive():
        if pieces:
            return pieces.pop(0)
        return await then() if then else {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    app = BodyLimit(length, limit=LIMIT, in_time=timedelta(seconds=in_time))
    await app(scope, receive, send)
    if not sent:
        return None, b""
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent)


async def test_a_body_up_to_the_limit_arrives_whole():
    assert await post([b"x" * 60, b"y" * 40]) == (200, b"100")


async def test_a_body_that_promises_to_be_too_large_is_not_read():
    async def never():
        pytest.fail("it was read")

    status, body = await post([], [("content-length", "101")], then=never)
    assert status == 413
    assert b"too_large" in body


async def test_a_body_that_promises_little_and_sends_more_ends_at_the_limit():
    status, _ = await post([b"x" * 60, b"y" * 41], [("content-length", "1")])
    assert status == 413


async def test_an_endless_body_without_a_length_ends_at_the_limit():
    read = 0

    async def endless():
        nonlocal read
        read += 1
        assert read < 10
        return {"type": "http.request", "body": b"x" * 60, "more_body": True}

    status, _ = await post([], then=endless)
    assert status == 413


@pytest.mark.parametrize("length", ["-1", "1e9", "", "½", "9" * 30])
async def test_a_length_that_is_no_number_is_refused(length):
    scope_headers = [("content-length", length.encode().decode("latin-1"))]
    assert (await post([b"x"], scope_headers))[0] == 413


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
async def test_compressed_bodies_are_refused(coding):
    assert (await post([b"x"], [("content-encoding", coding)]))[0] == 415


async def test_a_body_that_stalls_is_given_up():
    status, body = await post([b"x"], then=asyncio.Event().wait, in_time=0.05)
    assert status == 408
    assert b"too_slow" in body


async def test_a_sender_who_goes_away_gets_nothing():
    async def gone():
        return {"type": "http.disconnect"}

    assert await post([b"x"], then=gone) == (None, b"")
