"""Looking names up, on threads of a service's own: a resolver that hangs keeps the thread that asked it.

A lookup cannot be broken off. Who waits for one may give up; the thread goes on until the system's resolver
gives up, and the name counts as slow: slow names have few threads among them, all others have the rest.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS: Final = 16
THREADS_FOR_SLOW: Final = 4
SLOW_MAX: Final = 1_000  # so many names are remembered as slow


def looked_up(host: str, port: int) -> list[str]:
    """Return the addresses that a name stands for, each once; raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Lookup:
    """One name that is being looked up, and who waits for it."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        self.found: list[str] = []
        self.failure: Exception | None = None


class Resolver:
    """The names that one process looks up; each is looked up once at a time, whoever asks."""

    def __init__(self, look: Callable[[str, int], list[str]] = looked_up) -> None:
        """Know no name."""
        self._look = look
        self._running: dict[tuple[str, int], _Lookup] = {}
        self._slow: set[str] = set()
        self._threads = anyio.Semaphore(THREADS)
        self._threads_for_slow = anyio.Semaphore(THREADS_FOR_SLOW)

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the addresses that a name stands for; who gives up meanwhile found it slow."""
        lookup = self._running.get((host, port)) or await self._begun(host, port)
        try:
            await lookup.over.wait()
        except anyio.get_cancelled_exc_class():
            if len(self._slow) < SLOW_MAX:
                self._slow.add(host)
            raise
        if lookup.failure is not None:
            raise lookup.failure
        return lookup.found

    async def _begun(self, host: str, port: int) -> _Lookup:
        threads = self._threads_for_slow if host in self._slow else self._threads
        await threads.acquire()
        begun = self._running.get((host, port))
        if begun is not None:  # meanwhile, by somebody else
            threads.release()
            return begun
        lookup = self._running[host, port] = _Lookup()
        loop = asyncio.get_running_loop()

        def over() -> None:
            threads.release()
            del self._running[host, port]
            if lookup.failure is None:
                self._slow.discard(host)
            lookup.over.set()

        def look() -> None:
            try:
                lookup.found = self._look(host, port)
            except (OSError, UnicodeError) as failure:
                lookup.failure = failure
            finally:
                with suppress(RuntimeError):  # the process has ended meanwhile
                    loop.call_soon_threadsafe(over)

        # a daemon: a process does not wait for it when it ends
        threading.Thread(target=look, name=f"lookup of {host}", daemon=True).start()
        return lookup
