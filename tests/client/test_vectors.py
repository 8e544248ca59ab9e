"""The client and the golden vectors: it reads all that they say, and sends nothing that they do not know."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rollcall import Agent
from rollcall.client import Handoff, Notice, Outcome, Ping, Problem, Sync, Withdrawn
from rollcall.client.promise import Next
from tests.client.house import furnished, ping

VECTORS = Path(__file__).parents[2] / "contracts/vectors"
READ = {
    "handoff_result": Handoff,
    "next_result": Next,
    "notice": Notice,
    "outcome": Outcome,
    "ping": Ping,
    "problem": Problem,
    "sync_view": Sync,
    "withdrawn": Withdrawn,
}
UNREAD = {"next_result": {"retry"}}  # `pings` waits by itself


def vector(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", READ)
def test_it_reads_every_field(name: str) -> None:
    said = vector(name)
    read = msgspec.to_builtins(msgspec.json.decode(said["json"], type=READ[name]))
    expected = {key: value for key, value in said["fields"].items() if key not in UNREAD.get(name, set())}
    assert pruned(read, expected) == expected


def pruned(read: Any, expected: Any) -> Any:
    """Return what was read, without the defaults of what was not said."""
    if isinstance(read, dict) and isinstance(expected, dict):
        return {key: pruned(read[key], expected[key]) for key in expected if key in read}
    if isinstance(read, list | tuple) and isinstance(expected, list) and len(read) == len(expected):
        return [pruned(*both) for both in zip(read, expected, strict=True)]
    return read


async def test_it_sends_nothing_unknown(tmp_path: Path) -> None:
    async with furnished(tmp_path) as (house, server), Agent("builder", url=server.url) as me:
        house.results["handoff"] = {"assignment": 5, "agent": "ann"}
        await house.say("ping.builder.1", ping(1))
        held = await anext(aiter(me.pings()))
        when = held.sent_at
        await held.ack()
        await held.progress("half")
        await held.wait("peer", "ann", reason="busy", resume_at=when)
        await held.resume()
        await held.snooze(5, "later")
        await held.unsnooze()
        await held.decline("no")
        await held.complete("done")
        await held.fail("broken", final=True)
        await held.release("yours")
        await held.handoff("ann", "ill", capability="writing")
        await house.until(lambda: house.beats)
    sent = [(body["kind"], body) for _, body, _ in house.acks]
    sent += [(f"{verb}_params", body) for verb, body in house.commands] + [("beat", house.beats[0])]
    assert {name for name, _ in sent} >= {
        "ack",
        "wait",
        "release",
        "join_params",
        "leave_params",
        "handoff_params",
    }
    for name, body in sent:
        known = vector(name)["fields"]
        assert set(body) <= set(known), name
        assert {key: type(value) for key, value in body.items()} == {key: type(known[key]) for key in body}
