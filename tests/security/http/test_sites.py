"""Pages elsewhere, in the browser of somebody who is logged in here: none gets or does anything."""

from __future__ import annotations

import pytest

from tests.gateway.web import Web
from tests.security.http.raw import BEARER, told

EVIL = "https://evil.example"
FORM = "application/x-www-form-urlencoded"
WEBSOCKET = "connection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-key: eA==\r\n"
CROSS = "sec-fetch-site: cross-site\r\n"
TRIES = {
    "a form": ("POST", "/tasks", f"origin: {EVIL}\r\n{CROSS}content-type: {FORM}\r\n", "title=x"),
    "a form of an old browser": ("POST", "/tasks", f"origin: {EVIL}\r\ncontent-type: {FORM}\r\n", "title=x"),
    "a form that looks like JSON": (
        "POST",
        "/tasks",
        f"origin: {EVIL}\r\ncontent-type: text/plain\r\n",
        '{"title":"x","description":"="}',
    ),
    "a sandboxed form": ("POST", "/tasks", "origin: null\r\ncontent-type: text/plain\r\n", '{"title":"x"}'),
    "fetch": (
        "POST",
        "/tasks",
        f"origin: {EVIL}\r\n{CROSS}content-type: application/json\r\n",
        '{"title":"x"}',
    ),
    "fetch without cors": ("POST", "/tasks", f"{CROSS}sec-fetch-mode: no-cors\r\n", ""),
    "a sibling site": ("POST", "/tasks?title=x", "sec-fetch-site: same-site\r\n", ""),
    "another port here": ("POST", "/tasks?title=x", "origin: http://localhost:1\r\n", ""),
    "an image": ("GET", "/tasks", f"{CROSS}sec-fetch-mode: no-cors\r\nsec-fetch-dest: image\r\n", ""),
    "a stream": ("GET", "/events", f"origin: {EVIL}\r\n{CROSS}accept: text/event-stream\r\n", ""),
    "a websocket": ("GET", "/events", f"origin: {EVIL}\r\n{WEBSOCKET}", ""),
    "a preflight": ("OPTIONS", "/tasks", f"origin: {EVIL}\r\naccess-control-request-method: POST\r\n", ""),
    "a preflight with headers": (
        "OPTIONS",
        "/tasks/1",
        f"origin: {EVIL}\r\naccess-control-request-method: PATCH\r\naccess-control-request-headers: x\r\n",
        "",
    ),
}


@pytest.mark.parametrize("name", TRIES)
async def test_another_page_gets_nothing(web: Web, name: str) -> None:
    """Even where the browser would send what proves who asks, which it does not do with a bearer token."""
    method, path, headers, body = TRIES[name]
    end = "" if "upgrade" in headers else "connection: close\r\n"
    asked = (
        f"{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\n{BEARER}{headers}"
        f"content-length: {len(body)}\r\n{end}\r\n{body}"
    )
    status, answer = await told(web.url, asked)
    assert status == 403, answer
    assert b"access-control-" not in answer.lower()
    assert web.world.rows("SELECT * FROM tasks") == []


@pytest.mark.parametrize("origin", ["", "origin: http://localhost\r\n"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
async def test_nobody_is_told_that_others_may_ask(web: Web, method: str, origin: str) -> None:
    """CORS is off: no answer to anybody has a word of it."""
    asked = f"{method} /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\n{BEARER}{origin}connection: close\r\n\r\n"
    status, answer = await told(web.url, asked)
    assert status in {200, 204, 422}
    assert b"access-control-" not in answer.lower()


@pytest.mark.parametrize(
    "target", ["http://evil.example/api/v1/tasks", "//evil.example/api/v1/tasks", "/api/v1/../api/v1/tasks"]
)
async def test_a_target_is_a_path_of_ours(web: Web, target: str) -> None:
    """A whole URL in the request line does not stand above the Host; no path is tidied up."""
    asked = f"GET {target} HTTP/1.1\r\nhost: evil.example\r\n{BEARER}connection: close\r\n\r\n"
    assert (await told(web.url, asked))[0] == 421
    other = asked.replace("host: evil.example", "host: localhost")
    assert (await told(web.url, other))[0] in {200, 404}


async def test_a_websocket_is_not_spoken(web: Web) -> None:
    """Who may ask is answered in HTTP; nothing of it is logged by the server's parts."""
    status, _ = await told(
        web.url, f"GET /api/v1/tasks/9 HTTP/1.1\r\nhost: localhost\r\n{BEARER}{WEBSOCKET}\r\n"
    )
    assert status == 404
