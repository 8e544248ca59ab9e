"""The description of the bus: valid, whole, and true of all that is said there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from bus.streams import topology
from contracts import subjects
from contracts.channels import CHANNELS, STREAMS
from contracts.operations import ALL
from rollcall.demo.node import node
from rollcall.generate_asyncapi import document
from tests.support.fetched import fetched
from tests.support.world import open_world

CHECKS = Path(__file__).parents[2] / "requirements/js"
INSIDE = {"ping_ingest"}  # is seen by the stream alone, which hands it on as `ping`
REQUESTS = {"agent_command", "machine_command", "command"}
HELPERS = {"name", "split"}


def matches(address: str, subject: str) -> bool:
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", r"[^.]+", re.escape(address)), subject) is not None


def test_it_is_valid(tmp_path: Path) -> None:
    """As `@asyncapi/parser` reads it; what it would not pass is found in the same way."""
    fetched(CHECKS / "node_modules/@asyncapi/parser")
    wrong = document()
    del wrong["channels"]["ping"]
    for name, found, code in (("right", document(), 0), ("wrong", wrong, 1)):
        (tmp_path / f"{name}.json").write_bytes(msgspec.json.encode(found))
        words = [str(node()), "asyncapi.mjs", str(tmp_path / f"{name}.json")]
        said = subprocess.run(words, cwd=CHECKS, check=False, capture_output=True, text=True)
        assert said.returncode == code, said.stdout + said.stderr
        assert bool(said.stdout) is bool(code)


def test_every_subject_is_described() -> None:
    """A new subject in contracts/subjects.py: say in contracts/channels.py who says what there."""
    made = {name: found for name, found in vars(subjects).items() if callable(found) and name[0].islower()}
    described = [f"{subjects.ROOT}.{channel.subject}" for channel in CHANNELS]
    for name in set(made) - INSIDE - REQUESTS - HELPERS:
        words = made[name].__code__.co_varnames[: made[name].__code__.co_argcount]
        subject = f"{subjects.ROOT}.{made[name](*(f'a{word}' for word in words))}"
        assert [address for address in described if matches(address, subject)], name


def test_every_stream_keeps_what_is_described() -> None:
    found = topology()
    assert set(STREAMS) == set(found.streams)
    for channel in CHANNELS:
        if channel.stream is None:
            continue
        config = found.streams[channel.stream]
        ends = config.get("subject_transform", {}).get("dest", "")
        kept = config["subjects"] if not ends else [re.sub(r"\{\{.*?\}\}", "*", ends)]
        address = re.sub(r"\{\w+\}", "*", f"{subjects.ROOT}.{channel.subject}")
        assert kept == [address] or address.startswith(kept[0].rstrip(">")), channel.name


def test_every_operation_has_its_request_and_its_replies() -> None:
    found = document()
    for operation in ALL:
        told = found["operations"][operation.name]
        assert told["channel"] == {"$ref": f"#/channels/{operation.name}"}
        request = found["channels"][operation.name]
        assert "{" in request["address"]
        replies = found["channels"][f"{operation.name}.reply"]["messages"]
        assert len(replies) == 2
        assert "Problem" in replies
    used = {ref["$ref"] for one in found["channels"].values() for ref in one["messages"].values()}
    assert used == {f"#/components/messages/{name}" for name in found["components"]["messages"]}


def kinds(subject: str) -> list[type[msgspec.Struct]] | None:
    """Return what is described there; None: nothing is."""
    found = [channel for channel in CHANNELS if matches(channel.subject, subject)]
    return list(min(found, key=lambda one: one.subject.count("{")).carries) if found else None


async def test_what_is_said_is_described(tmp_path: Path) -> None:
    """All that is heard in a life with answers, silence and a wrong beat is on one of these subjects."""
    async with open_world(tmp_path) as world:
        _, lease = await world.given("ann")
        await world.writes("ann", "ack", lease)
        await world.writes("ann", "progress", lease, note="half way")
        await world.bus.publish(f"{subjects.ROOT}.{subjects.heartbeat('nobody')}", b"{}")
        await world.given("bob", "silence")
        await world.forward(hours=2)
        spoken: dict[str, Any] = {}
        for heard in world.heard:
            if heard.subject.startswith(("cmd.", "in.", "mark.")):
                continue
            shapes = kinds(heard.subject)
            assert shapes is not None, heard.subject
            if shapes:
                found = [shape for shape in shapes if reads(shape, heard.body)]
                assert found, (heard.subject, heard.body)
                spoken[heard.subject.split(".")[0]] = found
    assert {"ping", "ack", "answer", "evt"} <= set(spoken)


def reads(shape: type[msgspec.Struct], body: dict[str, Any]) -> bool:
    try:
        msgspec.convert(body, shape)
    except msgspec.ValidationError:
        return False
    return True
