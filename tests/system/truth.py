"""What must hold once a system has come to rest: the history, the file and the bus tell one story."""

from __future__ import annotations

import base64
import itertools
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio

from bus.nats import NatsBus
from tests.system.load import History

STORE = "rollcall.db"
LOOK_S = 0.02
PATIENCE_S = 30.0


def rows(state: Path, query: str, *params: object) -> list[tuple[Any, ...]]:
    """Read the file with other eyes than the store's own."""
    with closing(sqlite3.connect(f"file:{state / STORE}?mode=ro", uri=True, timeout=10)) as file:
        return file.execute(query, params).fetchall()


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until it holds, looking now and then: other processes need the machine more than we do."""
    with anyio.fail_after(PATIENCE_S):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            with anyio.move_on_after(LOOK_S):
                await anyio.Event().wait()


async def at_rest(state: Path, bus: NatsBus) -> None:
    """Wait until every answer was handled and every post published."""

    async def nothing_waits() -> bool:
        if (await bus.backlog("ROLLCALL_ACKS")).count:
            return False
        due = "SELECT 1 FROM tasks WHERE assign_at IS NOT NULL UNION SELECT 1 FROM outbox"
        return rows(state, due) == []

    await until(nothing_waits)


async def check(state: Path, bus: NatsBus, history: History) -> None:
    """Nothing promised is lost, and the bus tells exactly what the audit says."""
    await at_rest(state, bus)
    await check_promises(state, bus, history)
    await at_rest(state, bus)
    await check_events(state, bus)
    await check_mailboxes(state, bus)
    check_leases(state)


async def check_promises(state: Path, bus: NatsBus, history: History) -> None:
    """Ask every command again: the same answer; and what has a PubAck was handled."""
    wrong: list[tuple[str, bytes, bytes]] = []

    async def again(asked: tuple[str, bytes], answer: bytes | None) -> None:
        reply = await bus.request(*asked, timeout_s=10)
        if answer not in (None, reply.data) or reply.headers.get("Nats-Service-Error-Code", "4")[0] == "5":
            wrong.append((asked[0], answer or b"", reply.data))

    async with anyio.create_task_group() as group:
        for asked, answer in history.answered.items():
            group.start_soon(again, asked, answer)
        for asked in history.unknown:
            group.start_soon(again, asked, None)
    assert not wrong
    handled = set(rows(state, "SELECT actor, command_id FROM commands"))
    assert not {(f"agent:{agent}", command) for agent, command in history.stored} - handled


async def check_events(state: Path, bus: NatsBus) -> None:
    """No event without its audit row, and no audit row without its event."""
    audited = [f"evt:{life}:{seq}" for life, seq in rows(state, "SELECT incarnation, seq FROM audit")]
    told = await message_ids(bus, "ROLLCALL_EVENTS", "rollcall.v1.evt.>")
    assert len(told) == len(set(told))
    assert set(told) == set(audited)


async def message_ids(bus: NatsBus, stream: str, subject: str) -> list[str]:
    """Return the ids of all that a stream holds."""
    count = (await bus.backlog(stream)).count
    reader = await bus.client.jetstream().pull_subscribe(subject, stream=stream)
    found: list[str] = []
    while len(found) < count:
        for message in await reader.fetch(min(500, count - len(found)), timeout=5):
            found.append((message.headers or {})["Nats-Msg-Id"])
            await message.ack()
    await reader.unsubscribe()
    return found


async def check_mailboxes(state: Path, bus: NatsBus) -> None:
    """Whoever owes an answer finds the newest ping in the mailbox, under this store's incarnation."""
    query = """
        SELECT a.agent, a.id, a.attempt, (SELECT value FROM meta WHERE key = 'incarnation') FROM assignments a
        WHERE a.status = 'pending' AND a.attempt > 0
    """
    for agent, assignment, attempt, incarnation in rows(state, query):
        ping = await mailbox(bus, agent, assignment)
        assert ping is not None, (agent, assignment)
        assert (ping["kind"], ping["attempt"], ping["incarnation"]) == ("ping", attempt, incarnation)


async def mailbox(bus: NatsBus, agent: str, assignment: int) -> dict[str, Any] | None:
    """Return what waits for an agent about an assignment."""
    query = json.dumps({"last_by_subj": f"rollcall.v1.ping.{agent}.{assignment}"}).encode()
    reply = json.loads((await bus.request("$JS.API.STREAM.MSG.GET.ROLLCALL_PINGS", query, timeout_s=5)).data)
    if "message" not in reply:
        return None
    found: dict[str, Any] = json.loads(base64.b64decode(reply["message"]["data"]))
    return found


def check_leases(state: Path) -> None:
    """At no commit had a task two owners; a missed promise has one successor; epochs only grow."""
    leases = "SELECT task_id, epoch, assigned_at, ended_at FROM assignments ORDER BY task_id, epoch"
    for earlier, later in itertools.pairwise(rows(state, leases)):
        (task, epoch, _, ended_at), (other, newer, assigned_at, _) = earlier, later
        assert task != other or (newer == epoch + 1 and ended_at is not None and ended_at <= assigned_at)
    missed = """
        SELECT a.id, count(s.id) FROM assignments a LEFT JOIN assignments s ON s.previous_id = a.id
        WHERE a.end_reason = 'timed_out' GROUP BY a.id HAVING count(s.id) <> 1
    """
    assert rows(state, missed) == []
