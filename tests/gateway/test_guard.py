"""Who asks from where: foreign names, foreign pages, foreign machines."""

from pathlib import Path

import httpx
import pytest

from contracts import tokens
from rollcall.config import ConfigError
from rollcall.run import run
from rollcall.settings import Http, Settings
from rollcall.up import up
from rollcall.wiring import check_http
from services.gateway import Listening
from tests.gateway.web import FIXED, Web, open_web


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "", "[", "localhost@evil.example:1", "x@localhost"),
        *(
            "localhost/x",
            "localhost?x",
            "localhost#x",
            "localhost:x",
            "localhost:80:80",
            "[localhost]",
            "a b",
        ),
    ],
)
async def test_a_foreign_name_is_not_served(web: Web, host: str) -> None:
    admin = await web.client()
    answer = await admin.get("/tasks", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "misdirected")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:7466"])
async def test_this_machine_is_served_under_each_of_its_names(web: Web, host: str) -> None:
    admin = await web.client()
    assert (await admin.get("/tasks", headers={"host": host})).status_code == 200


async def test_a_configured_name_is_served(tmp_path: Path) -> None:
    listening = Listening(fixed=tokens.digest(FIXED), names=("Bus.Example",))
    async with open_web(tmp_path, listening) as web:
        admin = await web.client()
        assert (await admin.get("/tasks", headers={"host": "bus.example:443"})).status_code == 200
        assert (await admin.get("/tasks", headers={"host": "sub.bus.example"})).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_another_page_may_not_ask(web: Web, method: str, headers: dict[str, str]) -> None:
    admin = await web.client()
    answer = await admin.request(method, "/tasks", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_our_own_page_may_ask(web: Web) -> None:
    admin = await web.client()
    own = {"origin": web.url, "sec-fetch-site": "same-origin"}
    assert (await admin.post("/tasks", json={"title": "x"}, headers=own)).status_code == 201


async def test_no_cookie_is_a_token(web: Web) -> None:
    async with httpx.AsyncClient(base_url=web.url, cookies={"authorization": f"Bearer {FIXED}"}) as client:
        assert (await client.get("/api/v1/tasks")).status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "bus.example"])
def test_other_machines_are_listened_to_with_a_certificate_only(host: str) -> None:
    settings = Settings(http=Http(host=host))
    with pytest.raises(ConfigError, match=r"with a certificate only"):
        up(settings)
    with pytest.raises(ConfigError, match=r"with a certificate only"):
        run("gateway", settings)
    check_http(Settings(http=Http(host=host, certificate=Path("c"), key=Path("k"))))


@pytest.mark.parametrize("http", [Http(certificate=Path("c")), Http(key=Path("k"))])
def test_a_certificate_has_its_key(http: Http) -> None:
    with pytest.raises(ConfigError, match="both are needed"):
        check_http(Settings(http=http))
