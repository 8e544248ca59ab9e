"""`Prefer: wait=30` on `next`: the answer comes when something is due, or when the time is over."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import msgspec
from msgspec import Struct

from bus.api import BusError, Subscription
from bus.service import Context
from contracts import subjects
from contracts.work import Committed

WAIT_S_MAX: Final = 50.0  # clients of language models give up on a call after 60 s
LOOK_S: Final = 1.0  # a ping may pass while the bus is away
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,6})(?:$|[,;\s])", re.IGNORECASE)


class _Status(Struct):
    status: str = ""


def preferred(prefer: str) -> float:
    """Return how long the caller waits, in seconds; 0 unless it says so."""
    found = _WAIT.search(prefer)
    return min(float(found[1]), WAIT_S_MAX) if found else 0.0


async def until_due(
    context: Context, agent: str, ask: Callable[[], Awaitable[Committed]], wait_s: float, stop: anyio.Event
) -> Committed:
    """Ask, and again at each ping, until something is due, the time is over, or `stop`."""
    bell = _Bell()
    ends = anyio.current_time() + wait_s
    ear = await _listen(context, agent, bell)
    try:
        found = await ask()
        while _waits(found) and not stop.is_set() and (left := ends - anyio.current_time()) > 0:
            with anyio.move_on_after(min(left, LOOK_S)):
                await bell.rung.wait()
            bell.rung = anyio.Event()
            found = await ask()
        return found
    finally:
        if ear is not None:
            with anyio.move_on_after(1, shield=True):
                await _quietly(ear)


class _Bell:
    def __init__(self) -> None:
        self.rung = anyio.Event()


async def _listen(context: Context, agent: str, bell: _Bell) -> Subscription | None:
    pings = f"{context.root}.{subjects.ping(agent, 0).removesuffix('0')}*"
    if not context.bus.connected:
        return None
    try:
        return await context.bus.subscribe(pings, lambda _: bell.rung.set())
    except BusError:
        return None


async def _quietly(ear: Subscription) -> None:
    try:
        await ear.unsubscribe()
    except BusError:
        return


def _waits(found: Committed) -> bool:
    return found.problem is None and msgspec.json.decode(found.answer, type=_Status).status == "none"
