"""An agent that knows NATS and nothing of Rollcall's code: it hears its pings and publishes its answers.

It does not beat, so register it with `rollcall agent add bare --beats none`.
"""

import asyncio
import json
import os
import sys
import uuid
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client

ROOT = "rollcall.v1"


async def answer(bus: Client, name: str, ping: dict[str, Any], kind: str, **more: str) -> None:
    """Publish until it is stored: the same command id, and another message id for each try."""
    command_id = str(uuid.uuid4())
    body = {"kind": kind, "incarnation": ping["incarnation"], "command_id": command_id, **more}
    for number in range(1, 10):
        try:
            headers = {"Nats-Msg-Id": f"{command_id}:{number}"}
            subject = f"{ROOT}.ack.{name}.{ping['assignment']}"
            reply = await bus.request(subject, json.dumps(body).encode(), timeout=2, headers=headers)
            if "seq" in json.loads(reply.data):
                return
        except (nats.errors.TimeoutError, nats.errors.NoRespondersError):
            await asyncio.sleep(0.2 * number)
    sys.exit(f"the {kind} for assignment {ping['assignment']} could not be stored")


async def main(name: str) -> None:
    """Hear pings for ever."""
    bus = await nats.connect(
        os.environ["NATS_URL"],
        user_credentials=os.environ.get("NATS_CREDS"),
        inbox_prefix=f"_INBOX_{name}",
        name=f"example/{name}",
    )
    pings = await bus.subscribe(f"{ROOT}.ping.{name}.*")
    async for message in pings.messages:
        ping = json.loads(message.data)
        if ping["kind"] != "ping":
            continue  # withdrawn: nothing is owed any more
        await answer(bus, name, ping, "ack")
        await asyncio.sleep(1)
        await answer(bus, name, ping, "progress", note="half of it")
        await answer(bus, name, ping, "complete", result="done with nats-py alone")


asyncio.run(main(*sys.argv[1:2] or ["bare"]))
