"""Both ways of a verb beside each other: at the agent's door, and the long way over the bus."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from rollcall.door import Hall, doors
from rollcall.shell import life
from tests.cli.conftest import Bus, Command
from tests.cli.conftest import _nobody_around as _nobody_around  # noqa: PLC0414 - found by its name here
from tests.cli.conftest import bus as bus  # noqa: PLC0414
from tests.cli.conftest import rollcall as rollcall  # noqa: PLC0414
from tests.support.nats import connected

ROOT = "rollcall.v1"


class Done(Struct):
    """How a verb ended."""

    code: int | None
    out: str
    err: str


class Page(io.TextIOWrapper):
    """Where a program writes; a log of the test itself may come in between, and wants the bytes beneath."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="utf-8", write_through=True)

    def text(self) -> str:
        """Return what the program wrote."""
        self.flush()
        return self.bytes.getvalue().decode()


Way = Callable[..., Coroutine[Any, Any, Done]]


@pytest.fixture
async def hall(bus: Bus, tmp_path: Path) -> AsyncIterator[Hall]:
    """Open a door for ann where `up` would have it."""
    folder = tmp_path / "state/rollcall/agents"
    async with connected(bus.url) as connection, doors(folder, connection, root=ROOT) as found:
        await found.open("ann")
        (folder.parent / "nats.url").write_text(bus.url, "utf-8")
        yield found


@pytest.fixture
def short(hall: Hall, tmp_path: Path) -> Way:
    """Run a verb at the door; a code of None leaves it to the long way."""

    def run(arguments: tuple[str, ...], more: dict[str, str]) -> Done:
        out, err = Page(), Page()
        environ = {"ROLLCALL_AGENT": "ann", "XDG_STATE_HOME": str(tmp_path / "state"), **more}
        with redirect_stdout(out), redirect_stderr(err):
            code = life.run(arguments, {name: value for name, value in environ.items() if value})
        return Done(code, out.text(), err.text())

    async def way(*arguments: str, **more: str) -> Done:
        return await asyncio.to_thread(run, arguments, more)

    return way


@pytest.fixture
def long(rollcall: Command, bus: Bus) -> Way:
    """Run a verb over the bus."""

    async def way(*arguments: str, **more: str) -> Done:
        done = await rollcall(*arguments, env={"ROLLCALL_AGENT": "ann", "NATS_URL": bus.url, **more})
        return Done(done.exit_code, done.stdout, done.stderr)

    return way
