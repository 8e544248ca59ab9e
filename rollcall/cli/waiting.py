"""`rollcall next`: what is owed now, else wait until something is."""

import asyncio
from typing import Any, Final

import click
import msgspec
from msgspec import Struct

from contracts import subjects
from contracts.errors import UnavailableError
from contracts.operations import Operation
from rollcall.cli.failures import NOTHING, Failed
from rollcall.cli.setting import Caller

WAIT_S: Final = 50.0  # clients of language models give up on a call after 60 s
WAIT_S_MAX: Final = 86_400.0
ASK_AGAIN_S: Final = 10.0  # a ping may have passed while the connection was away
_wait_s: Final = "rollcall.wait_s"


def wait_option(own: list[click.Parameter]) -> list[click.Parameter]:
    """Add `--wait`."""
    option = click.Option(
        ["--wait"],
        type=click.FloatRange(0, WAIT_S_MAX),
        default=WAIT_S,
        expose_value=False,
        callback=_keep,
        help="Seconds to wait until something is due; 0 only looks.  [default: 50]",
    )
    return [*own, option]


def _keep(ctx: click.Context, _param: click.Parameter, value: float) -> None:
    ctx.meta[_wait_s] = value


def wait_for_next(caller: Caller, operation: Operation, params: Struct) -> None:
    """Print what is due; exit with 3 when nothing came in time."""
    from rollcall.cli import answering, wire

    context = click.get_current_context()
    wait_s: float = context.meta[_wait_s]
    try:
        data = wire.run(lambda: _until_due(caller, operation, params, wait_s))
    except wire.RefusedError as error:
        raise answering.refused(caller, operation, params, error) from error
    answering.told(caller, operation, params, data)
    if msgspec.json.decode(data)["status"] == "none":
        context.exit(NOTHING)


async def _until_due(caller: Caller, operation: Operation, params: Struct, wait_s: float) -> bytes:
    from rollcall.cli import wire

    rung = asyncio.Event()
    clock = asyncio.get_running_loop().time
    ends = clock() + wait_s
    async with wire.line(caller.settings, caller.name, kind="agent", lasting=True) as line:
        line.on_back.append(rung.set)
        await line.listen(lambda _message: rung.set(), subjects.ping(caller.name, 0).replace(".0", ".*"))
        data = await _first(line, operation, caller, params)
        while (left := ends - clock()) > 0 and not (data and _due(data)):
            try:
                async with asyncio.timeout(min(left, ASK_AGAIN_S)):
                    await rung.wait()
            except TimeoutError:
                pass
            rung.clear()
            data = await _again(line, operation, caller, params) or data
    if data is None:
        raise wire.silent(params, caller.timeout_s)
    return data


async def _first(line: Any, operation: Operation, caller: Caller, params: Struct) -> bytes | None:
    """Ask; a service that does not answer at all ends the command, a connection that was lost does not."""
    from rollcall.cli import wire

    for number in range(wire.TRIES):
        if data := await _again(line, operation, caller, params, failing=number == 0):
            return data
        if line.losses:
            return None
    raise wire.silent(params, caller.timeout_s)


async def _again(
    line: Any, operation: Operation, caller: Caller, params: Struct, *, failing: bool = False
) -> bytes | None:
    """Ask; None when nobody answered: services restart, and the wait goes on."""
    from rollcall.cli import wire

    try:
        answer: bytes = await line.ask(operation, caller.name, params, timeout_s=caller.timeout_s)
    except TimeoutError:
        return None
    except wire.RefusedError as error:
        if error.problem.status != UnavailableError.status or (failing and not line.losses):
            raise
        return None
    except Failed:  # the bus does not allow it
        if failing and not line.losses:
            raise
        return None
    return answer


def _due(data: bytes) -> bool:
    return bool(msgspec.json.decode(data)["status"] == "due")
