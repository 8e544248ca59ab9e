"""Where the time goes: a look at every thread a thousand times a second."""

import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Self

from bench import acks, pings
from bench.harness import Spent

EVERY_S = 0.001
HOUSE = Path(__file__).parents[1]
WAITING = {
    ("selectors.py", "select"),
    ("threading.py", "wait"),
    ("unix_events.py", "_do_waitpid"),
    ("core.py", "_connection_worker_thread"),  # aiosqlite's, with nothing to do
    ("thread.py", "_worker"),
}
TOP = 16


async def measure(*, quick: bool) -> dict[str, list[Spent]]:
    """Return where the time goes on the ping and the ack path."""
    count = 2_000 if quick else 10_000
    watches = {"ping path, full": Watch(), "ack path, full": Watch()}
    for watch, path in zip(watches.values(), (pings.ours, acks.ours), strict=True):
        await path("full", count, watch)
    return {name: watch.spent() for name, watch in watches.items()}


class Watch:
    """Looks at all threads but its own for the length of a block."""

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self._looks: Counter[tuple[str, str]] = Counter()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._switch_s = sys.getswitchinterval()

    def __enter__(self) -> Self:
        """Begin."""
        sys.setswitchinterval(EVERY_S / 2)  # a look must not wait until a thread pauses by itself
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""
        self._done.set()
        self._thread.join()
        sys.setswitchinterval(self._switch_s)

    def spent(self) -> list[Spent]:
        """Return the functions that took most, each with its share of all time at work."""
        total = self._looks.total()
        return [Spent(function, thread, n / total) for (function, thread), n in self._looks.most_common(TOP)]

    def _watch(self) -> None:
        own, loop = threading.get_ident(), threading.main_thread().ident
        while not self._done.wait(EVERY_S):
            for thread, frame in sys._current_frames().items():  # noqa: SLF001 - the only way to look
                where = name(frame)
                if thread != own and where:
                    self._looks[where, "event loop" if thread == loop else "store"] += 1


def name(frame: FrameType) -> str:
    """Name the function that a thread is in; nothing if it waits there."""
    path = Path(frame.f_code.co_filename)
    if (path.name, frame.f_code.co_name) in WAITING:
        return ""
    ours = path.is_relative_to(HOUSE) and "site-packages" not in path.parts
    short = path.relative_to(HOUSE) if ours else Path(path.parent.name, path.name)
    query = getattr(frame.f_locals.get("request"), "query", None)  # SQL: which one is what matters
    return f"{short}: {frame.f_code.co_qualname}" + ("" if query is None else f" ({query.name})")
