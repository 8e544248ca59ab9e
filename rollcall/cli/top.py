"""`rollcall top`: the fleet, live; from a snapshot and what passes on the bus since."""

import asyncio
import shutil
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click
import msgspec

from rollcall.cli.failures import Failed
from rollcall.cli.fleet import Fleet
from rollcall.cli.frame import frame
from rollcall.cli.setting import asking, form_option, place_flags, place_options
from rollcall.cli.text import colorful, room
from rollcall.settings import Settings

SUBJECTS: Final = ("evt.agent.*.*", "evt.assignment.*.*", "evt.task.*.*", "evt.system.*.*", "vital.*.*")
DRAW_S: Final = 1.0  # ages grow
PAUSE_S: Final = 0.2  # however much happens, it is drawn no more often
RENEW_S: Final = 5.0  # however much happens, the monitor is asked no more often
AGAIN_S: Final = 30.0  # nothing happened: beats have no events
ASK_S: Final = 3.0
_ENTER: Final = "\x1b[?1049h\x1b[?25l"
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"


@click.command()
@click.option("--once", is_flag=True, help="Show it once, and end: also where there is no terminal.")
def top(*, once: bool, form: str, nats_url: str | None, creds_path: Any, config_path: Any) -> None:
    """Show the fleet live: who is how, since when and why, and how old each fact is.

    Ctrl-C ends it. `-o json` shows it once, `-o jsonl` a line whenever it changes.
    """
    settings = asking(config_path, place_flags(nats_url, creds_path))
    from rollcall.cli import wire

    once = once or form == "json" or (form == "table" and not sys.stdout.isatty())
    wire.run(lambda: Top(settings, form).run(once=once))


top.params += [form_option(), *place_options()]


class Top:
    """One run of it."""

    def __init__(self, settings: Settings, form: str) -> None:
        self._settings = settings
        self._form = form
        self._fleet = Fleet(settings.services.expected)
        self._bell = asyncio.Event()
        self._asked = float("-inf")
        self._ahead = timedelta()  # how far the house's clock is ahead of this machine's
        self._ended = False

    async def run(self, *, once: bool) -> None:
        """Show the fleet until Ctrl-C, or once."""
        from rollcall.cli import wire

        async with wire.line(self._settings, self._settings.operator or "operator", lasting=not once) as line:
            if once:
                await self._snapshot(line)
                self._show(once=True)
                return
            await line.listen(self._hear, *SUBJECTS)
            renewing = asyncio.create_task(self._renew(line))
            try:
                with _terminal(self._bell.set, self._end, plain=self._form != "table"):
                    await self._live(line, renewing)
            finally:
                renewing.cancel()

    async def _live(self, line: Any, renewing: "asyncio.Task[None]") -> None:
        """Draw whenever something changed, and each second, for ages grow; a silent monitor stops nothing."""
        while not self._ended and not renewing.done():
            self._note_bus(line)
            self._show()
            await asyncio.sleep(PAUSE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), DRAW_S - PAUSE_S)
            self._bell.clear()
        if renewing.done():
            renewing.result()

    def _end(self) -> None:
        self._ended = True
        self._bell.set()

    def _now(self) -> datetime:
        """Return what the house's clock shows: ages are told by one clock."""
        return datetime.now(UTC) + self._ahead

    def _hear(self, message: Any) -> None:
        subject = message.subject[len(self._settings.root) + 1 :]
        self._fleet.heard(subject, message.data, self._now())
        self._bell.set()

    def _note_bus(self, line: Any) -> None:
        """Note whether the bus is there; what passed while it was not was not heard."""
        fleet = self._fleet
        if not line.client.is_connected:
            fleet.lost_at = fleet.lost_at or self._now()
        elif fleet.lost_at is not None:
            fleet.lost_at, fleet.stale = None, True
            self._asked = float("-inf")

    async def _renew(self, line: Any) -> None:
        """Ask for everything again, when it is time."""
        from rollcall.cli import wire

        while True:
            rested = asyncio.get_running_loop().time() - self._asked
            if line.client.is_connected and rested >= (RENEW_S if self._fleet.stale else AGAIN_S):
                try:
                    await self._snapshot(line)
                except (Failed, wire.RefusedError) as error:
                    self._fleet.deaf = str(error)
                self._fleet.forget(self._now())
                self._bell.set()
            await asyncio.sleep(PAUSE_S)

    async def _snapshot(self, line: Any) -> None:
        """Ask the monitor for everything; raises Failed or RefusedError."""
        from contracts.operations import BY_NAME

        self._asked = asyncio.get_running_loop().time()
        who = self._settings.operator or "operator"
        answers: list[bytes] = []
        try:
            for name in ("agent.ls", "system.status"):
                operation = BY_NAME[name]
                answers.append(await line.ask(operation, who, operation.params(), timeout_s=ASK_S))
        except TimeoutError:
            raise Failed(f"the monitor says nothing for {ASK_S:g} s", 69, hint="rollcall doctor") from None
        at = datetime.fromisoformat(msgspec.json.decode(answers[1])["at"])
        self._ahead = at - datetime.now(UTC)
        self._fleet.snapshot(answers[0], answers[1], at)

    def _show(self, *, once: bool = False) -> None:
        now = self._now()
        if self._form != "table":
            text = msgspec.json.encode(document(self._fleet, now))
            click.echo(text if self._form == "jsonl" else msgspec.json.format(text, indent=2))
            return
        if once:
            click.echo("\n".join(frame(self._fleet, now, columns=room(), lines=None, color=colorful())))
            return
        size = shutil.get_terminal_size()
        lines = frame(self._fleet, now, columns=size.columns, lines=size.lines, color=colorful())
        sys.stdout.write("\x1b[H" + "\n".join(f"{line}\x1b[K" for line in lines[: size.lines]) + "\x1b[J")
        sys.stdout.flush()


def document(fleet: Fleet, now: datetime) -> dict[str, Any]:
    """Return all that is known, each fact with its instant, as one JSON object."""
    return {
        "at": now,
        "as_of": fleet.as_of,
        "heard_at": fleet.heard_at,
        "bus_lost_at": fleet.lost_at,
        "counts": {
            key: fleet.counts.get(key)
            for key in ("tasks", "assignments", "agents", "exhausted", "quarantined", "outbox")
        },
        "services": list(fleet.services.values()),
        "silent": [name for name, _ in fleet.silent(now)],
        "alarms": list(fleet.alarms.values()),
        "findings": fleet.counts.get("findings", []),
        "agents": fleet.ordered(),
    }


@contextmanager
def _terminal(changed: Callable[[], None], end: Callable[[], None], *, plain: bool) -> Generator[None]:
    """Take the screen, and give it back as it was; a new size is drawn at once."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, changed)
    loop.add_signal_handler(signal.SIGTERM, end)
    sys.stdout.write("" if plain else _ENTER)
    try:
        yield
    finally:
        sys.stdout.write("" if plain else _LEAVE)
        sys.stdout.flush()
