"""People before a browser: a link that works once, a cookie, and what comes with it."""

import secrets
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from contracts import tokens
from services.gateway.session import COOKIE, GUARDED, baked, brought
from tests.gateway.web import Web
from tests.support.house import ROOT

OWN = {"sec-fetch-site": "same-origin"}
HOUR_US = 3_600_000_000


async def link(web: Web, scope: str = "operator") -> str:
    code = tokens.token("link", secrets.token_bytes(32))
    said = {"scope": scope, "prefix": tokens.prefix(code), "digest": tokens.digest(code)}
    await web.world.operator("login.create", **said)
    return code


async def entered(web: Web, scope: str = "operator") -> httpx.AsyncClient:
    client = await web.client("")
    answer = await client.post("/session", json={"code": await link(web, scope)}, headers=OWN)
    assert answer.status_code == 201, answer.text
    return client


async def test_a_link_opens_one_session(web: Web) -> None:
    client = await web.client("")
    code = await link(web)
    answer = await client.post("/session", json={"code": code}, headers=OWN)
    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"]
    port = client.base_url.port
    assert cookie.startswith(f"{COOKIE}-{port}=rcl_session_")
    assert "; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200" in cookie
    again = await client.post("/session", json={"code": code}, headers=OWN)
    assert (again.status_code, again.json()["code"]) == (401, "unauthorized")
    told = (await client.get("/session")).json()
    assert told["role"] == "operator"
    assert told["root"] == ROOT
    assert (await client.get("/tasks")).status_code == 200
    events = (await client.get("/audit?aggregate=token")).json()["items"]
    assert [event["event"] for event in events] == ["created", "created", "revoked", "created"][
        -len(events) :
    ]
    made = await client.post("/tasks", json={"title": "x"}, headers=OWN)
    assert made.status_code == 201
    (event,) = [
        one
        for one in (await client.get("/audit?aggregate=task")).json()["items"]
        if one["event"] == "created"
    ]
    assert event["actor"] == f"operator:{told['name']}"


async def test_two_links_are_two(web: Web) -> None:
    admin = await web.client()
    code = tokens.token("link", secrets.token_bytes(32))
    said = {"prefix": tokens.prefix(code), "digest": tokens.digest(code)}
    made = await admin.post("/logins", json=said)
    assert (made.status_code, made.json()["scope"]) == (201, "operator")
    assert (await admin.post("/logins", json=said)).json()["code"] == "exists"


async def test_a_link_is_too_old_after_ten_minutes(web: Web) -> None:
    code = await link(web)
    web.world.clock.move(web.world.clock.at + 600_000_000)
    client = await web.client("")
    assert (await client.post("/session", json={"code": code}, headers=OWN)).status_code == 401


async def test_a_session_ends_by_itself_by_log_out_and_by_an_operator(web: Web) -> None:
    old, left, ended = [await entered(web) for _ in range(3)]
    away = await left.delete("/session", headers=OWN)
    assert away.status_code == 200
    assert "Max-Age=0" in away.headers["set-cookie"]
    name = (await ended.get("/session")).json()["name"]
    await (await web.client()).delete(f"/tokens/{name}")
    web.world.clock.move(web.world.clock.at + 1_000_000)
    assert (await ended.get("/tasks")).status_code == 401
    assert (await old.get("/tasks")).status_code == 200
    web.world.clock.move(web.world.clock.at + 12 * HOUR_US)
    assert (await old.get("/tasks")).status_code == 401


async def test_a_cookie_that_was_logged_out_lets_nobody_in(web: Web) -> None:
    client = await entered(web)
    kept = {"cookie": "; ".join(f"{one}={value}" for one, value in client.cookies.items())}
    await client.delete("/session", headers=OWN)
    web.world.clock.move(web.world.clock.at + 1_000_000)
    assert (await (await web.client("")).get("/tasks", headers=kept)).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 201),
        ({}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "OWN"}, 201),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "HTTPS"}, 403),
        ({"origin": "OWN", "sec-fetch-site": "cross-site"}, 403),
    ],
)
async def test_with_a_cookie_only_our_own_page_changes_anything(
    web: Web, headers: dict[str, str], status: int
) -> None:
    client = await entered(web)
    said = {"OWN": web.url, "HTTPS": web.url.replace("http:", "https:")}
    words = {name: said.get(value, value) for name, value in headers.items()}
    assert (await client.post("/tasks", json={"title": "x"}, headers=words)).status_code == status


async def test_each_kind_of_token_counts_in_its_place_alone(web: Web) -> None:
    client = await entered(web)
    ((named, session),) = client.cookies.items()
    code = await link(web)
    bearer = await web.token("admin")
    for said in (session, code):
        assert (await (await web.client(said)).get("/tasks")).status_code == 401
    for said in (bearer, code, "x", '"', "rcl_session_x_00000000"):
        answer = await (await web.client("")).get("/tasks", headers={"cookie": f"{named}={said}"})
        assert answer.status_code == 401, said
    both = {"cookie": f"{named}={session}", "authorization": "Bearer x"}
    assert (await (await web.client("")).get("/tasks", headers=both)).status_code == 401


async def test_who_may_only_look_changes_nothing(web: Web) -> None:
    client = await entered(web, "read_only")
    assert (await client.get("/attention")).json() == {"items": [], "more": False}
    assert (await client.post("/tasks", json={"title": "x"}, headers=OWN)).status_code == 403
    operator = await entered(web)
    assert (
        await operator.put("/policies/x", json={"steps": [], "expected_version": 0}, headers=OWN)
    ).status_code == 403
    assert (await operator.post("/logins", json={}, headers=OWN)).status_code == 403


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"code": 1}', b'{"code": "x"}', b'{"code": "x", "more": 1}', b"x" * 2_000]
)
async def test_whoever_guesses_is_not_let_in(web: Web, body: bytes) -> None:
    client = await web.client("")
    answer = await client.post("/session", content=body, headers=OWN)
    assert answer.status_code in {400, 401, 413, 422}, answer.text
    assert "set-cookie" not in answer.headers


async def test_whoever_goes_on_guessing_has_to_wait(web: Web) -> None:
    client = await web.client("")
    answers = [await client.post("/session", json={"code": "x"}, headers=OWN) for _ in range(12)]
    assert {answer.status_code for answer in answers[:10]} == {401}
    assert answers[-1].status_code == 429


async def test_the_stream_of_changes_ends_with_its_session(web: Web) -> None:
    client = await entered(web)
    async with client.stream("GET", "/events") as stream:
        name = (await client.get("/session")).json()["name"]
        await (await web.client()).delete(f"/tokens/{name}")
        web.world.clock.move(web.world.clock.at + 1_000_000)
        async for _ in stream.aiter_text():
            pass


async def test_what_others_put_into_the_jar_hides_no_session(web: Web) -> None:
    """A browser has one jar for all the ports of a host, and not all in it is a cookie by the book."""
    client = await entered(web)
    ((named, session),) = client.cookies.items()
    for others in ('theme={"dark":1}', "a=b c", "x", "é=ü", "", "=", f"{COOKIE}-1={session[:-1]}x"):
        jar = f"{others};{named}={session}; {others};x=y".encode()
        headers = {b"cookie": jar}
        assert (await (await web.client("")).get("/session", headers=headers)).status_code == 200, jar


def test_each_rollcall_of_a_machine_has_a_cookie_of_its_own() -> None:
    first, second = ({"host": f"127.0.0.1:{port}"} for port in (7466, 7467))
    jar = f"{baked('one', first, 'http').partition(';')[0]}; {baked('two', second, 'http').partition(';')[0]}"
    assert [brought(head | {"cookie": jar}) for head in (first, second)] == ["one", "two"]
    assert brought({"host": "rollcall.example", "cookie": jar}) == ""


def test_over_tls_the_cookie_is_for_this_host_alone() -> None:
    over: dict[str, Any] = {"https": ({}, "https"), "a proxy": ({"origin": "https://x"}, "http")}
    for headers, scheme in over.values():
        jar = SimpleCookie(baked("t", headers, scheme))
        assert jar[GUARDED]["secure"]
        assert jar[GUARDED]["path"] == "/"
        assert not jar[GUARDED]["domain"]
