"""Running: nothing left behind stays unsent, a fault is outlived, and old things go."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.api import BusUnavailable
from bus.nats import NatsBus
from bus.outbox import Outbox
from contracts.operations import BY_NAME
from contracts.work import Post, StoreFaultError
from rollcall import wiring
from rollcall.run import UNAVAILABLE, _run
from rollcall.settings import Nats, Settings
from services.cleanup import Cleanup, Retention
from store.sqlite import SqliteStore
from tests.support.house import all_services
from tests.support.nats import server, until
from tests.support.world import World, open_world

DAY_US = 86_400_000_000


async def test_the_relay_finds_what_nobody_published(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.agent("a1")
    with monkeypatch.context() as forgetful:
        forgetful.setattr(Outbox, "put", lambda *_: None)
        task = await world.task("ship it")
        lease = await world.lease(task)
    left = world.rows("SELECT count(*) FROM outbox")[0][0]
    assert left > 0
    assert world.pings("a1") == []
    world.clock.move(world.clock.at + 11_000_000)
    await until(lambda: world.rows("SELECT count(*) FROM outbox") == [(0,)])
    await world.settle()
    assert len(world.pings("a1", lease)) == 1
    assert len(world.events("created", task)) == 1
    world.expect_each_ping_once()


async def test_what_was_published_and_not_confirmed_is_heard_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(posts: Any, now: int) -> list[Post]:
        """Lose the confirmation, as a crash after the PubAck does."""
        return []

    with monkeypatch.context() as forgetful:
        forgetful.setattr(world.house.store, "confirm", forget)
        _, lease = await world.given("a1")
        await world.settle()
    left = world.rows("SELECT count(*) FROM outbox")[0][0]
    assert left > 0
    world.clock.move(world.clock.at + 11_000_000)
    await until(lambda: world.rows("SELECT count(*) FROM outbox") == [(0,)])
    await world.settle()
    assert len(world.pings("a1", lease)) == 1
    stored = msgspec.json.decode(
        (await world.bus.request("$JS.API.STREAM.INFO.ROLLCALL_EVENTS", b"", timeout_s=5)).data
    )
    assert world.rows("SELECT count(*) FROM audit") == [(stored["state"]["messages"],)]


async def test_cleanup_forgets_what_is_past_its_time_and_nothing_else(world: World) -> None:
    _, lease = await world.given("a1")
    await world.operator("reminder.add", text="now")
    await world.operator("reminder.add", text="some day", at="2999-01-01T00:00:00Z")
    await world.says("a1", "wait", lease, command_id="old", on="peer", who="Ruto")
    await world.forward(hours=23)
    await world.says("a1", "ack", lease, command_id="young")
    await clean(world, Cleanup())
    assert commands(world) == ["old", "young"]
    await world.forward(hours=2)
    await clean(world, Cleanup())
    assert commands(world) == ["young"]
    tables = {"pings", "audit", "notices"}
    assert all(world.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables)
    await world.says("a1", "complete", lease)  # of what is open the pings and notices stay
    await world.settle()
    soon = Retention(commands_us=1, pings_us=1, audit_us=1, notices_us=1, processes_us=1, holds_us=1)
    world.clock.move(world.clock.at + 10)
    await clean(world, Cleanup(retention=soon))
    assert {table: world.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables} == dict.fromkeys(
        tables, 0
    )
    assert world.rows("SELECT count(*) FROM tasks") == [(1,)]
    assert world.rows("SELECT text FROM reminders") == [("some day",)]
    assert world.rows("SELECT count(*) FROM comments")[0][0] > 0


async def clean(world: World, cleanup: Cleanup) -> None:
    for chore in cleanup.chores:
        await chore.run(world.house.runtime.context, world.clock.at)


def commands(world: World) -> list[str]:
    return [name for (name,) in world.rows("SELECT command_id FROM commands ORDER BY created_at")]


async def test_a_checkpoint_folds_the_log_into_the_file(world: World) -> None:
    await world.agent("a1", capacity=300)
    await world.operator("task.import", tasks=[{"title": f"task {number}"} for number in range(200)])
    assert in_file_alone(world) < 200
    await clean(world, Cleanup())
    assert in_file_alone(world) == 200


def in_file_alone(world: World) -> int:
    """Count the tasks that would be there if the log were lost."""
    with closing(sqlite3.connect(f"file:{world.path}?immutable=1", uri=True)) as file:
        if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'tasks'").fetchall():
            return 0
        count: int = file.execute("SELECT count(*) FROM tasks").fetchone()[0]
        return count


async def test_each_service_runs_alone(tmp_path: Path) -> None:
    """All of them, each in a process of its own, are one system."""
    names = [service.name for service in all_services_of_one()]
    async with open_world(tmp_path, houses=0) as world:
        for name in names:
            world.services = lambda timers, name=name: [  # type: ignore[misc]
                service for service in all_services(timers) if service.name == name
            ]
            await world.start()
        assert len(world.houses) == len(names)
        task, lease = await world.given("a1")
        await world.writes("a1", "ack", lease)
        await world.forward(minutes=31)
        assert (await world.lease(task)).agent == "Ruto"
        world.expect_each_ping_once()


def all_services_of_one() -> list[Any]:
    from domain.timers import Timers

    return all_services(Timers())


async def test_a_loop_that_fails_is_started_again_and_harms_no_sibling(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that nobody foresaw, in the midst of a batch of answers."""
    monkeypatch.setattr("bus.supervise.BACKOFF_S", (0.0,))
    task, lease = await world.given("a1")
    with monkeypatch.context() as planted:
        planted.setattr("bus.inboxes.InboxLoop._work", _explode)
        await world.leaves("a1", "ack", lease)
        added = await world.raw("cmd.monitor.agent-add.tester", b'{"name":"a2"}')
        assert "Nats-Service-Error-Code" not in added.headers
    await until(lambda: world.rows("SELECT status FROM assignments") == [("acknowledged",)])
    assert (await world.lease(task)).agent == "a1"


async def _explode(*_: object) -> bool:
    raise RuntimeError("nobody foresaw this")


async def test_every_message_says_what_caused_it(world: World) -> None:
    """A trace that came in goes on in the ping, the event and the outcome."""
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    await world.agent("a1")
    found = BY_NAME["task.add"]
    subject = f"rollcall.v1.cmd.{found.owner}.{found.verb}.tester"
    await world.bus.request(subject, b'{"title":"t"}', timeout_s=5, headers={"traceparent": parent})
    await world.settle()
    created = next(heard for heard in world.on("evt.task") if heard.body["event"] == "created")
    assert created.headers["traceparent"].split("-")[1] == "a" * 32
    assert all("traceparent" in heard.headers for heard in world.on("ping."))


async def test_an_event_is_a_cloud_event(world: World) -> None:
    task = await world.task("ship it")
    heard = next(heard for heard in world.on("evt.task") if heard.body["event"] == "created")
    identity = f"evt:{world.incarnation}:{heard.body['seq']}"
    assert heard.headers["ce-id"] == heard.headers["Nats-Msg-Id"] == identity
    assert heard.headers["ce-subject"] == f"task/{task}"
    assert heard.headers["ce-type"] == "dev.rollcall.task.created.v1"
    assert world.rows("SELECT event FROM audit WHERE seq = ?", heard.body["seq"]) == [("created",)]


async def test_the_doorbell_only_shortens_the_sleep(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every bell lost, what is due is done within a tick."""
    monkeypatch.setattr(world.house.runtime, "ring", lambda _: None)
    await world.agent("a1")
    await world.raw("cmd.assigner.task-add.tester", msgspec.json.encode({"title": "ship it"}))
    await until(lambda: bool(world.pings("a1")))


async def test_a_process_whose_store_is_held_by_another_as_it_begins_gives_up_in_plain_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs services starts it again, as when there is no bus yet."""

    async def held(*_: Any) -> None:
        raise StoreFaultError("the store is locked by another process for too long")

    monkeypatch.setattr(SqliteStore, "begin_refill", held)
    async with server(tmp_path / "bus") as nats:
        settings = Settings(state_dir=tmp_path, nats=Nats(url=nats.url))
        assert await _run("pinger", settings) == UNAVAILABLE


async def test_a_process_that_finds_no_bus_leaves_word_that_there_was_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others may be gone: nobody else could tell that agents had nobody to answer to."""

    async def nowhere(*_: Any, **__: Any) -> None:
        raise BusUnavailable

    monkeypatch.setattr(NatsBus, "open", nowhere)
    settings = Settings(state_dir=tmp_path)
    with pytest.raises(BusUnavailable):
        async with wiring.runtime(["pinger"], settings, "nats://127.0.0.1:1"):
            pass
    with closing(sqlite3.connect(settings.store_path)) as file:
        found = file.execute("SELECT service, alive_at > 0, bus_ok_at, server FROM processes").fetchall()
    assert found == [("pinger", 1, None, None)]
