"""Looking names up: one that hangs costs the others nothing, and is asked for once at a time."""

import threading
from collections.abc import Iterator

import anyio
import pytest

from bus.resolving import THREADS, THREADS_FOR_SLOW, Resolver
from tests.support.nats import until


class Names:
    """A resolver of the system; names that begin with `slow` hang until they are let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.free = threading.Event()

    def __call__(self, host: str, _port: int) -> list[str]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.free.wait()
            if host != "slow.example":
                raise OSError("timed out")
        if host == "none.example":
            raise OSError("there is no such name")
        return ["192.0.2.1"]


@pytest.fixture
def names() -> Iterator[Names]:
    found = Names()
    yield found
    found.free.set()


async def give_up(resolver: Resolver, *hosts: str) -> None:
    """Ask for each, and stop waiting as soon as all wait."""
    async with anyio.create_task_group() as group:
        for host in hosts:
            group.start_soon(resolver, host, 443)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()


async def over(resolver: Resolver, names: Names, *hosts: str) -> None:
    """Let the system's resolver give up all that it was asked for."""
    names.free.set()
    with anyio.fail_after(10):
        for host in hosts:
            with pytest.raises(OSError, match="timed out"):
                await resolver(host, 443)
    names.free.clear()
    names.asked.clear()


async def test_names_that_hung_leave_threads_to_the_others(names: Names) -> None:
    resolver = Resolver(names)
    slow = [f"slow{number}.example" for number in range(THREADS)]
    await give_up(resolver, *slow)
    await over(resolver, names, *slow)
    await give_up(resolver, *slow)
    with anyio.fail_after(10):
        assert await resolver("good.example", 443) == ["192.0.2.1"]
    assert len(names.asked) == THREADS_FOR_SLOW + 1


async def test_so_many_are_looked_up_at_once_and_the_next_waits(names: Names) -> None:
    resolver = Resolver(names)
    slow = [f"slow{number}.example" for number in range(THREADS)]
    await give_up(resolver, *slow)
    await give_up(resolver, "good.example")
    await until(lambda: len(names.asked) == THREADS)
    await over(resolver, names, *slow)
    await give_up(resolver, *slow)
    with anyio.fail_after(10):  # it waited through no fault of its own, and is not slow
        assert await resolver("good.example", 443) == ["192.0.2.1"]


async def test_a_name_is_looked_up_once_for_all_who_ask(names: Names) -> None:
    resolver = Resolver(names)
    found: list[list[str]] = []

    async def ask() -> None:
        found.append(await resolver("slow.example", 443))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            names.free.set()
    assert (found, names.asked) == ([["192.0.2.1"]] * 5, ["slow.example"])


async def test_a_name_that_is_none_is_said_to_who_asked_and_asked_for_again(names: Names) -> None:
    resolver = Resolver(names)
    for _ in range(2):
        with pytest.raises(OSError, match="no such name"):
            await resolver("none.example", 443)
    assert len(names.asked) == 2
