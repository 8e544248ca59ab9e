"""Whoever knocks in vain is seen in the log: at once, then once in a window, and never with what it said."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts import tokens
from services.gateway import Listening
from services.gateway.refusals import KEPT_MAX, OTHERS, WINDOW_S, Refusals
from tests.gateway.web import FIXED, Web, open_web
from tests.support.house import HandClock

SECOND = 1_000_000
Log = list[MutableMapping[str, Any]]


@pytest.fixture
def logs() -> Iterator[Log]:
    with capture_logs() as found:
        yield found


def told(logs: Log) -> list[tuple[int, str, int, int]]:
    """Return the lines so far, and begin anew."""
    found = [
        (line["status"], line["address"], line["count"], line["within_s"])
        for line in logs
        if line["event"] == "requests.refused"
    ]
    logs.clear()
    return found


def test_the_first_is_said_at_once_and_the_rest_once_in_a_window(logs: Log) -> None:
    clock = HandClock()
    refusals = Refusals(clock)
    for _ in range(1_000):
        refusals.note(401, "192.0.2.1")
    refusals.note(403, "192.0.2.1")
    refusals.note(401, "192.0.2.2")
    refusals.tell()
    assert told(logs) == [(401, "192.0.2.1", 1, 0), (403, "192.0.2.1", 1, 0), (401, "192.0.2.2", 1, 0)]
    clock.move(clock.at + round(WINDOW_S) * SECOND)
    refusals.tell()
    assert told(logs) == [(401, "192.0.2.1", 999, 60)]
    assert len(refusals) == 1
    refusals.note(401, "192.0.2.1")
    refusals.note(401, "192.0.2.2")
    assert told(logs) == [(401, "192.0.2.2", 1, 0)]
    clock.move(clock.at + 65 * SECOND)
    refusals.tell()
    assert told(logs) == [(401, "192.0.2.1", 1, 65)]
    clock.move(clock.at + 65 * SECOND)
    refusals.tell()
    assert (told(logs), len(refusals)) == ([], 0)


def test_the_end_keeps_no_count_to_itself(logs: Log) -> None:
    clock = HandClock()
    refusals = Refusals(clock)
    for _ in range(3):
        refusals.note(421, "192.0.2.1")
    clock.move(clock.at + 2 * SECOND)
    refusals.tell(last=True)
    assert told(logs) == [(421, "192.0.2.1", 1, 0), (421, "192.0.2.1", 2, 2)]


def test_however_many_come_memory_and_log_stay_small(logs: Log) -> None:
    clock = HandClock()
    refusals = Refusals(clock)
    for number in range(10 * KEPT_MAX):
        refusals.note(401, f"2001:db8::{number:x}")
    assert len(refusals) == KEPT_MAX + 1
    assert len(told(logs)) == KEPT_MAX + 1
    clock.move(clock.at + 60 * SECOND)
    refusals.tell()
    assert told(logs) == [(401, OTHERS, 9 * KEPT_MAX - 1, 60)]


async def test_whatever_the_door_refuses_is_counted(tmp_path: Path, logs: Log) -> None:
    listening = Listening(fixed=tokens.digest(FIXED), per_minute=3)
    wrong = tokens.token("admin", secrets.token_bytes(32))
    async with open_web(tmp_path, listening) as web:
        admin, reader = await web.client(), await web.caller("read_only")
        stranger, nobody = await web.client(wrong), await web.client("")
        logs.clear()
        assert (await nobody.get("/tasks")).status_code == 401
        assert (await stranger.get("/tasks")).status_code == 401
        assert (await reader.post("/tasks", json={"title": "x"})).status_code == 403
        assert (await admin.get("/tasks", headers={"origin": "https://evil.example"})).status_code == 403
        assert (await admin.get("/tasks", headers={"host": "evil.example"})).status_code == 421
        statuses = [(await admin.get("/tasks")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert (await admin.get("/tasks/999")).status_code == 429
        here = "127.0.0.1"
        assert wrong not in str(logs)
        assert told(logs) == [(code, here, 1, 0) for code in (401, 403, 421, 429)]
    assert told(logs) == [(code, here, 1, 0) for code in (401, 403, 429)]


async def test_what_is_only_a_mistake_is_not(web: Web, logs: Log) -> None:
    admin = await web.client()
    assert (await admin.get("/tasks/999")).status_code == 404
    assert (await admin.post("/tasks", json={})).status_code == 422
    assert told(logs) == []


async def test_a_proxy_that_is_known_says_who_it_was(tmp_path: Path, logs: Log) -> None:
    listening = Listening(fixed=tokens.digest(FIXED), proxies=("127.0.0.1",))
    async with open_web(tmp_path, listening) as web:
        nobody = await web.client("")
        logs.clear()
        for said in ("192.0.2.9", "x" * 9_000):
            await nobody.get("/tasks", headers={"x-forwarded-for": said})
        assert told(logs) == [(401, "192.0.2.9", 1, 0), (401, "x" * 64, 1, 0)]
