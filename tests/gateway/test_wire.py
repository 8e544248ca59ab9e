"""What a connection writes leaves together, in order, and never without bound."""

from __future__ import annotations

import asyncio
from typing import cast

import anyio
import pytest

from services.gateway.wire import AT_ONCE_BYTES, Wire


class Paper(asyncio.Transport):
    """Notes what it is told to do."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.told.append(bytes(data))

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")


@pytest.fixture
async def paper() -> Paper:
    return Paper()


def wire(paper: Paper) -> Wire:
    return Wire(cast("asyncio.Transport", paper), asyncio.get_running_loop())


async def test_head_and_body_leave_together(paper: Paper) -> None:
    one = wire(paper)
    one.write(b"head ")
    one.write(b"body")
    assert paper.told == []
    await anyio.lowlevel.checkpoint()
    one.write(b"next")
    await anyio.lowlevel.checkpoint()
    assert paper.told == [b"head body", b"next"]


async def test_what_is_much_waits_for_nothing(paper: Paper) -> None:
    one = wire(paper)
    one.write(b"head ")
    for _ in range(3):
        one.write(b"x" * (AT_ONCE_BYTES // 2))
    assert [len(said) for said in paper.told] == [5 + AT_ONCE_BYTES]
    await anyio.lowlevel.checkpoint()
    assert [len(said) for said in paper.told] == [5 + AT_ONCE_BYTES, AT_ONCE_BYTES // 2]


async def test_what_was_written_is_sent_before_the_end(paper: Paper) -> None:
    one = wire(paper)
    one.write(b"the end")
    one.close()
    await anyio.lowlevel.checkpoint()
    assert paper.told == [b"the end", "close"]


async def test_who_is_cut_off_hears_nothing_more(paper: Paper) -> None:
    one = wire(paper)
    one.write(b"unheard")
    one.abort()
    await anyio.lowlevel.checkpoint()
    assert paper.told == ["abort"]
