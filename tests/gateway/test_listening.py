"""The gateway as people run it: beside the others, or alone; and what it says of itself."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from services.gateway import Listening, server
from tests.support.nats import until
from tests.support.processes import Program, running, up

TOKEN = "sesame-open-sesame"
SETTINGS = {"http.token": TOKEN}


async def address(program: Program) -> str:
    await until(lambda: any(line.startswith("http: ") for line in program.said))
    return next(line for line in program.said if line.startswith("http: ")).removeprefix("http: ").strip()


def client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{url}/api/v1", headers={"authorization": f"Bearer {TOKEN}"})


async def test_up_says_where_it_listens(tmp_path: Path) -> None:
    async with up(tmp_path, SETTINGS) as program:
        url = await address(program)
        assert url.startswith("http://127.0.0.1:")
        assert (tmp_path / "http.url").read_text("utf-8") == url
        async with client(url) as admin:
            assert (await admin.post("/tasks", json={"title": "ship it"})).status_code == 201
            assert "Ruto" in (await admin.get("/agents")).text
        await program.stop()
    assert TOKEN not in "".join(program.said)
    assert not [line for line in program.said if "uvicorn" in line or "Traceback" in line]


@pytest.mark.parametrize(
    ("host", "names", "where"),
    [
        ("127.0.0.1", ("fleet.example",), "http://127.0.0.1:1"),
        ("::1", (), "http://[::1]:1"),
        ("0.0.0.0", ("fleet.example", "other.example"), "http://fleet.example:1"),
        ("::", (), "http://localhost:1"),
    ],
)
def test_the_address_that_is_said_can_be_asked(host: str, names: tuple[str, ...], where: str) -> None:
    assert server.address(Listening(host=host, names=names), 1) == where


def test_no_answer_waits_for_its_own_beginning_to_be_heard() -> None:
    with (
        server._open(Listening()) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_it_runs_alone(tmp_path: Path) -> None:
    async with up(tmp_path, {"http.token": ""}) as house:
        await address(house)
        words = ("-m", "rollcall", "run", "gateway")
        async with running(*words, state=tmp_path, settings=SETTINGS) as alone:
            async with client(await address(alone)) as admin:
                assert (await admin.post("/tasks", json={"title": "ship it"})).status_code == 201
                assert len((await admin.get("/tasks")).json()["items"]) == 1
            await alone.stop()
        await house.stop()


async def test_a_port_that_is_taken_is_said_and_tried_again(tmp_path: Path) -> None:
    async with up(tmp_path / "one", SETTINGS) as first:
        port = (await address(first)).rpartition(":")[2]
        taken = {"http.token": TOKEN, "http.port": port}
        async with up(tmp_path / "two", taken) as second:
            await until(lambda: any("gateway.cannot_listen" in line for line in second.said))
            assert not [line for line in second.said if "Traceback" in line]
            await first.stop()
            assert (await address(second)).endswith(port)
            await second.stop()


async def test_an_open_address_without_a_certificate_is_refused(tmp_path: Path) -> None:
    words = ("-m", "rollcall", "run", "gateway")
    for arguments in (("-m", "rollcall", "up"), words):
        settings = {"http.host": "0.0.0.0"}
        async with running(*arguments, state=tmp_path, settings=settings, wait=False) as refused:
            assert await refused.ended() == 78
        assert "with a certificate only" in "".join(refused.said)
