"""The topology: made, mended, and never at the cost of what is not ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import ServerVersion

from bus import streams
from bus.api import BusUnavailable, Outgoing
from bus.client import ApiError, SafeClient, connect, js_api
from bus.embedded import EmbeddedServer
from bus.streams import (
    ServerRefused,
    TopologyRefused,
    check_server,
    dead_letters,
    ensure,
    missing,
    ownership,
    topology,
)
from tests.support.nats import connected, ready, server

WHOLE = [
    "stream ROLLCALL_PINGS",
    "stream ROLLCALL_ACKS",
    "stream ROLLCALL_INTAKE",
    "stream ROLLCALL_EVENTS",
    "stream ROLLCALL_DLQ",
    "consumer ROLLCALL_ACKS.answers",
    "consumer ROLLCALL_INTAKE.intake",
]
ANSWERS = "consumer ROLLCALL_ACKS.answers"


@asynccontextmanager
async def bare(folder: Path) -> AsyncIterator[SafeClient]:
    async with server(folder) as nats, connected(nats.url) as bus:
        yield bus.client


async def stream(client: SafeClient, name: str) -> dict[str, Any]:
    config: dict[str, Any] = (await js_api(client, f"STREAM.INFO.{name}"))["config"]
    return config


async def test_what_is_missing_is_made_and_then_all_is_well(tmp_path: Path) -> None:
    async with bare(tmp_path) as client:
        found = await missing(client, topology())
        assert [(change.kind, change.what) for change in found] == [("missing", what) for what in WHOLE]
        assert str(found[0]) == "stream ROLLCALL_PINGS: missing"
        made = await ensure(client, topology())
        assert [(change.kind, change.what) for change in made] == [("created", what) for what in WHOLE]
        assert await ensure(client, topology()) == []
        assert await missing(client, topology()) == []
        acks = await stream(client, "ROLLCALL_ACKS")
        assert (acks["retention"], acks["discard"]) == ("workqueue", "new")
        assert not acks.get("allow_msg_ttl")  # agents publish here
        assert not acks["allow_rollup_hdrs"]
        answers = (await js_api(client, "CONSUMER.INFO.ROLLCALL_ACKS.answers"))["config"]
        assert (answers["max_deliver"], answers["max_ack_pending"], answers["ack_wait"]) == (
            -1,
            2_000,
            30 * 10**9,
        )


async def test_what_drifted_is_mended_and_the_rest_left_alone(tmp_path: Path) -> None:
    """An installation of some time ago, with an operator's note on it."""
    async with bare(tmp_path) as client:
        old: dict[str, Any] = {
            "name": "ROLLCALL_PINGS",
            "subjects": ["rollcall.v1.in.ping.*.*"],
            "max_consumers": 1_000,
            "duplicate_window": 60 * 10**9,
            "description": "ask Ann before you touch it",
            "metadata": {"team": "bus"},
        }
        await js_api(client, "STREAM.CREATE.ROLLCALL_PINGS", old)
        await js_api(
            client,
            "STREAM.CREATE.ROLLCALL_ACKS",
            {
                "name": "ROLLCALL_ACKS",
                "subjects": ["rollcall.v1.ack.*.*"],
                "retention": "workqueue",
                "max_consumers": 64,
            },
        )
        durable = {"durable_name": "answers", "ack_policy": "explicit", "max_deliver": 6}
        body = {"stream_name": "ROLLCALL_ACKS", "config": durable}
        await js_api(client, "CONSUMER.DURABLE.CREATE.ROLLCALL_ACKS.answers", body)
        found = {change.what: change for change in await missing(client, topology())}
        assert {what for what, change in found.items() if change.kind == "drifted"} == {
            WHOLE[0],
            WHOLE[1],
            ANSWERS,
        }
        assert "max_deliver is 6, not -1" in str(found[ANSWERS])
        made = {change.what: change.kind for change in await ensure(client, topology())}
        old_ones = {WHOLE[0], WHOLE[1], ANSWERS}
        assert made == {what: "repaired" if what in old_ones else "created" for what in WHOLE}
        assert await missing(client, topology()) == []
        pings = await stream(client, "ROLLCALL_PINGS")
        assert pings["description"] == "ask Ann before you touch it"
        assert pings["metadata"]["team"] == "bus"


async def test_what_cannot_be_mended_is_said(tmp_path: Path) -> None:
    async with bare(tmp_path) as client:
        old = {"name": "ROLLCALL_ACKS", "subjects": ["rollcall.v1.ack.*.*"], "retention": "limits"}
        await js_api(client, "STREAM.CREATE.ROLLCALL_ACKS", old)
        with pytest.raises(TopologyRefused, match=r"ROLLCALL_ACKS.*retention.*by hand"):
            await ensure(client, topology())
        assert (await stream(client, "ROLLCALL_ACKS"))["retention"] == "limits"


async def test_a_foreign_stream_of_our_name_is_not_touched(tmp_path: Path) -> None:
    async with bare(tmp_path) as client:
        theirs = {"name": "ROLLCALL_DLQ", "subjects": ["their.things"]}
        await js_api(client, "STREAM.CREATE.ROLLCALL_DLQ", theirs)
        before = await stream(client, "ROLLCALL_DLQ")
        with pytest.raises(
            TopologyRefused, match=r"not ours: its subjects .* their\.things; choose another root"
        ):
            await ensure(client, topology())
        assert [change.kind for change in await missing(client, topology()) if "DLQ" in change.what] == [
            "foreign"
        ]
        assert await stream(client, "ROLLCALL_DLQ") == before


async def test_two_roots_that_share_a_name_do_not_fight(tmp_path: Path) -> None:
    async with bare(tmp_path) as client:
        await ensure(client, topology("acme"))
        with pytest.raises(TopologyRefused, match="it belongs to root acme;"):
            await ensure(client, topology("acme.v1"))
        await ensure(client, topology("acme.v2"))
        assert topology("acme.v2").name("PINGS") == "ACME_V2_PINGS"


async def test_foreign_subjects_in_our_way_are_named(tmp_path: Path) -> None:
    async with bare(tmp_path) as client:
        await js_api(client, "STREAM.CREATE.AUDIT", {"name": "AUDIT", "subjects": ["rollcall.v1.evt.>"]})
        with pytest.raises(TopologyRefused, match="ROLLCALL_EVENTS: its subjects already belong to AUDIT"):
            await ensure(client, topology())
        assert (await stream(client, "AUDIT"))["subjects"] == ["rollcall.v1.evt.>"]


async def test_a_foreign_consumer_in_our_way_is_told(tmp_path: Path) -> None:
    """On a work queue it would take our answers; it is not ours to delete."""
    async with ready(tmp_path) as (_, bus, names):
        await js_api(bus.client, "CONSUMER.DELETE.ROLLCALL_ACKS.answers")
        body = {
            "stream_name": "ROLLCALL_ACKS",
            "config": {"durable_name": "theirs", "ack_policy": "explicit"},
        }
        await js_api(bus.client, "CONSUMER.DURABLE.CREATE.ROLLCALL_ACKS.theirs", body)
        with pytest.raises(TopologyRefused, match=r"ROLLCALL_ACKS\.answers.*workqueue"):
            await ensure(bus.client, names)


async def test_events_cannot_be_edited(tmp_path: Path) -> None:
    async with ready(tmp_path) as (_, bus, _):
        fact = Outgoing("rollcall.v1.evt.task.1.created", b"{}", "1")
        assert await bus.publish_batch([fact], stream="ROLLCALL_EVENTS") == []
        for verb, body in (("PURGE", {}), ("MSG.DELETE", {"seq": 1})):
            with pytest.raises(ApiError, match="not permitted"):
                await js_api(bus.client, f"STREAM.{verb}.ROLLCALL_EVENTS", body)


async def test_jetstream_must_be_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedServer, "_config", off)
    async with server(tmp_path) as nats, connected(nats.url) as bus:
        with pytest.raises(ServerRefused, match="JetStream is off"):
            await ensure(bus.client, topology())


def off(self: EmbeddedServer, port: int) -> str:
    return f'listen: "127.0.0.1:{port}"\nports_file_dir: "{self.folder}"\n'


async def test_jetstream_must_be_on_for_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured = EmbeddedServer._config

    def other_account(self: EmbeddedServer, port: int) -> str:
        return configured(self, port) + "accounts { A { users: [{user: a, password: a}] } }\n"

    monkeypatch.setattr(EmbeddedServer, "_config", other_account)
    async with server(tmp_path) as nats:
        client = await connect(nats.url.replace("//", "//a:a@"), name="test")
        with pytest.raises(ServerRefused, match="JetStream"):
            await check_server(client)
        await client.close()


async def test_an_old_server_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bare(tmp_path) as client:
        for version, fine in (("2.13.9", False), ("2.14.0", True), ("3.0.0", True)):
            monkeypatch.setattr(SafeClient, "connected_server_version", ServerVersion(version))
            if fine:
                await check_server(client)
            else:
                with pytest.raises(ServerRefused, match=r"2\.13\.9; 2\.14 or newer"):
                    await ensure(client, topology())


async def test_an_unreachable_server_is_no_verdict(tmp_path: Path) -> None:
    async with bare(tmp_path) as client:
        version = client.connected_server_version
        await client.close()
        assert version.major == 2
        with pytest.raises(BusUnavailable):
            await missing(client, topology())


async def test_a_server_that_cannot_tell_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unwell(_client: SafeClient, verb: str) -> dict[str, Any]:
        if verb == "INFO":
            return {}
        raise ApiError(503, 10_008, "no leader")

    async with bare(tmp_path) as client:
        monkeypatch.setattr(streams, "js_api", unwell)
        with pytest.raises(ApiError, match="no leader, code 10008"):
            await missing(client, topology())


@pytest.mark.parametrize("root", ["", "Rollcall.v1", "a..b", "a.*", ".a", "a b"])
def test_a_root_that_would_break_subjects_is_refused(root: str) -> None:
    with pytest.raises(TopologyRefused, match="lower-case words"):
        topology(root)


def test_every_subject_lies_under_the_root() -> None:
    for config in topology("acme.v2").streams.values():
        assert all(subject.startswith("acme.v2.") for subject in config["subjects"])
    assert "rollcall" not in str(topology("acme.v2").streams).replace("rollcall.root", "")


def test_a_stream_without_subjects_is_not_ours() -> None:
    assert ownership({"mirror": {"name": "X"}}, "rollcall.v1")
    assert not ownership(dead_letters("rollcall.v1"), "rollcall.v1")
