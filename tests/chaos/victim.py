"""Runs one service, and kills itself where it is told to: `rollcall run`, with a gun to its head.

python victim.py MARKS SERVICE

A line `POINT N` on standard input arms it: at the N-th time that it comes by that point from then on, it
writes to MARKS where it stands, with the proof, and raises SIGKILL against itself. The product knows nothing
of it. Two lengths that cannot be configured are shortened: what a killed process had taken from the bus comes
back after 2 s, and a gap of 2.5 s without a live bus counts against nobody.
"""

import functools
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from typing import Any

REDELIVERY_S = 2
HOLD_GAP_US = 2_500_000
SENT = ("EVENTS", "PINGS")


class Gun:
    """Armed with a point and a number."""

    def __init__(self, marks: str) -> None:
        self.marks = os.open(marks, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.point = ""
        self.left = 0

    def listen(self) -> None:
        """Arm whenever a line comes in; end with whoever sends them."""
        for line in sys.stdin:
            point, number = line.split()
            self.left = int(number)
            self.point = point
        os.kill(os.getpid(), signal.SIGKILL)

    def pass_by(self, point: str, **proof: object) -> None:
        """Die if this is the place."""
        if self.point != point:
            return
        self.left -= 1
        if self.left <= 0:
            mark = {"pid": os.getpid(), "point": point, **proof}
            os.write(self.marks, json.dumps(mark).encode() + b"\n")
            os.kill(os.getpid(), signal.SIGKILL)


def put(owner: Any, name: str, function: Callable[..., Any]) -> None:
    """Put a function in the place of another."""
    assert hasattr(owner, name)
    setattr(owner, name, function)


def aim_inside(gun: Gun) -> None:
    """`write`: a row is written and not committed. `commit`: all are, just before COMMIT."""
    from store import driver
    from store.statements import Write

    perform, execute = driver.perform, driver._execute

    @functools.wraps(perform)
    def performing(connection: sqlite3.Connection, request: Any) -> Any:
        result = perform(connection, request)
        if isinstance(request, Write) and connection.in_transaction and result:
            gun.pass_by("write", in_transaction=True, rows=result)
        return result

    @functools.wraps(execute)
    def executing(connection: sqlite3.Connection, text: str) -> None:
        if text == "COMMIT" and connection.in_transaction:
            gun.pass_by("commit", in_transaction=True, rows=connection.total_changes)
        execute(connection, text)

    put(driver, "perform", performing)
    put(driver, "_execute", executing)


def aim_between(gun: Gun) -> None:
    """`publish`: committed, nothing sent. `partly`: some is. `confirm`: stored, and the row still there."""
    from bus.nats import NatsBus
    from bus.publisher import Publisher

    publish, send = NatsBus.publish_batch, Publisher._send

    @functools.wraps(publish)
    async def publishing(bus: Any, items: Any, *, stream: str, **named: Any) -> Any:
        ours = stream.endswith(SENT)
        ids = [item.message_id for item in items]
        if ours:
            gun.pass_by("publish", ids=ids)
        refused = await publish(bus, items, stream=stream, **named)
        if ours:
            gun.pass_by("confirm", ids=ids)
        return refused

    @functools.wraps(send)
    async def sending(publisher: Any, item: Any, lines: Any, reply: str) -> None:
        await send(publisher, item, lines, reply)
        if lines["Nats-Expected-Stream"].endswith(SENT):
            gun.pass_by("partly", ids=[item.message_id])

    put(NatsBus, "publish_batch", publishing)
    put(Publisher, "_send", sending)


def aim_after(gun: Gun) -> None:
    """`settle`: an answer is committed, the bus does not know. `reply`: a command is, its sender does not."""
    from bus import commands
    from bus.inboxes import InboxLoop

    settle, reply = InboxLoop._settle, commands.reply

    @functools.wraps(settle)
    def settling(loop: Any, message: Any, *rest: Any) -> None:
        gun.pass_by("settle", subject=message.subject)
        settle(loop, message, *rest)

    @functools.wraps(reply)
    async def replying(request: Any, committed: Any) -> None:
        gun.pass_by("reply", subject=request.subject)
        await reply(request, committed)

    put(InboxLoop, "_settle", settling)
    put(commands, "reply", replying)


def shorten() -> None:
    """Let what was taken come back soon, and the hold begin soon."""
    from bus import streams
    from rollcall import wiring

    usual = streams.topology
    ports: Any = vars(wiring)["Ports"]

    def topology(root: str = "rollcall.v1") -> streams.Topology:
        found = usual(root)
        for durable in found.durables:
            durable.config["ack_wait"] = REDELIVERY_S * streams.SECOND
        return found

    def with_gap(**named: Any) -> Any:
        return ports(**{**named, "hold_gap_us": HOLD_GAP_US})

    put(streams, "topology", topology)
    put(wiring, "Ports", with_gap)


def main() -> None:
    _, marks, service = sys.argv
    gun = Gun(marks)
    for aim in (aim_inside, aim_between, aim_after):
        aim(gun)
    shorten()
    threading.Thread(target=gun.listen, daemon=True).start()
    sys.argv = ["rollcall", "run", service]
    from rollcall.__main__ import main as rollcall

    rollcall()


if __name__ == "__main__":
    main()
