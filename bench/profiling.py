"""Where the time goes: a look at every thread a thousand times a second."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import FrameType

from bench import acks, pings
from bench.harness import Spent

EVERY_S = 0.001
HOUSE = Path(__file__).parents[1]
WAITING = {
    ("selectors.py", "select"),
    ("threading.py", "wait"),
    ("core.py", "_connection_worker_thread"),  # aiosqlite's, with nothing to do
    ("thread.py", "_worker"),
}
TOP = 12


async def measure(*, quick: bool) -> dict[str, list[Spent]]:
    """Return where the time goes on the ping and the ack path."""
    count = 2_000 if quick else 20_000
    return {
        "ping path, full": await spent(partial(pings.ours, "full", count)),
        "ack path, full": await spent(partial(acks.ours, "full", count)),
    }


async def spent(path: Callable[[], Awaitable[float]]) -> list[Spent]:
    """Return the functions of this process that took most while `path` ran."""
    looks: Counter[tuple[str, str]] = Counter()
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(looks, done), daemon=True)
    was = sys.getswitchinterval()
    sys.setswitchinterval(EVERY_S / 5)  # a look must not wait for a thread to pause by itself
    watcher.start()
    try:
        await path()
    finally:
        done.set()
        watcher.join()
        sys.setswitchinterval(was)
    total = looks.total()
    return [Spent(function, thread, n / total) for (function, thread), n in looks.most_common(TOP)]


def watch(looks: Counter[tuple[str, str]], done: threading.Event) -> None:
    """Count what each other thread is doing, until `done`."""
    own = threading.get_ident()
    while not done.is_set():
        time.sleep(EVERY_S)
        loop = threading.main_thread().ident
        for thread, frame in sys._current_frames().items():  # noqa: SLF001 - the only way to look
            where = name(frame)
            if thread != own and where:
                looks[where, "event loop" if thread == loop else "store"] += 1


def name(frame: FrameType) -> str:
    """Name the function that a thread is in; nothing if it waits there."""
    path, function = Path(frame.f_code.co_filename), frame.f_code.co_qualname
    if (path.name, frame.f_code.co_name) in WAITING:
        return ""
    if path.is_relative_to(HOUSE) and "site-packages" not in path.parts:
        return f"{path.relative_to(HOUSE)}: {function}"
    return f"{path.parent.name}/{path.name}: {function}"
