"""Credentials for everything but health, in front of any ASGI application."""

import asyncio
import base64

import httpx
import pytest

from model_registry.guard import Guard


async def page(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture
def guarded():
    asked = []

    async def check(user, word):
        asked.append(user)
        return (user, word) == ("anna", "right:with:colons")

    return Guard(page, realm="test", open_paths={"/health"}, check=check), asked


def get(app, path, *, method="GET", **how):
    async def call():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            return await client.request(method, path, **how)

    return asyncio.run(call())


def test_health_is_open_and_nothing_that_looks_like_it(guarded):
    app, asked = guarded
    assert get(app, "/health").status_code == 200
    for path in ("/healthz", "/health/", "/x/health", "/health%2f..", "/", "/static/a.js"):
        answer = get(app, path)
        assert (answer.status_code, "Basic" in answer.headers["www-authenticate"]) == (401, True)
    assert get(app, "/health", method="POST").status_code == 401
    assert asked == []


def test_the_right_password_opens_everything_and_is_looked_up_once(guarded):
    app, asked = guarded
    for path in ("/", "/static/a.js", "/api"):
        assert get(app, path, auth=("anna", "right:with:colons")).text == path
    assert asked == ["anna"]


@pytest.mark.parametrize("auth", [("anna", "wrong"), ("bert", "right:with:colons"), ("", "")])
def test_a_wrong_one_opens_nothing_however_often_it_is_tried(guarded, auth):
    app, asked = guarded
    assert [get(app, "/", auth=auth).status_code for _ in range(3)] == [401] * 3
    assert len(asked) == 3


@pytest.mark.parametrize("header", ["Bearer x", "Basic", "Basic %%%", "Basic " + "YQ==", "basic"])
def test_what_is_no_pair_of_user_and_password_opens_nothing(guarded, header):
    app, asked = guarded
    assert get(app, "/", headers={"Authorization": header}).status_code == 401
    assert asked == []


def test_two_headers_open_nothing(guarded):
    app, _ = guarded
    pair = "Basic " + base64.b64encode(b"anna:right:with:colons").decode()
    headers = [("Authorization", pair), ("Authorization", pair)]
    assert get(app, "/", headers=headers).status_code == 401


@pytest.mark.parametrize(("sockets", "closed"), [(False, True), (True, False)])
def test_a_websocket_passes_only_where_the_application_asks_inside(sockets, closed):
    seen, sent = [], []

    async def inside(scope, receive, send):
        seen.append(scope["type"])

    async def never(user, word):
        return False

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message["type"])

    app = Guard(inside, realm="t", open_paths=set(), check=never, sockets=sockets)
    scope = {"type": "websocket", "path": "/x", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert (seen == [], "websocket.close" in sent) == (closed, closed)
