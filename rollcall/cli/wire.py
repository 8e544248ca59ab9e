"""Asks Rollcall over the bus, from a process that lives for one command."""

# nats-py is typed in part: what its callbacks and messages hold is not always said.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
import nats.errors as ne
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus import trace
from bus.strict import StrictClient
from contracts import codec, subjects
from contracts.errors import NobodyAnswersError, Problem, UnavailableError
from contracts.operations import Operation
from rollcall.address import bus_url
from rollcall.cli.failures import CONFIG, FORBIDDEN, UNAVAILABLE, Failed
from rollcall.config import ConfigError
from rollcall.credentials import Who, proof
from rollcall.settings import Settings
from rollcall.settings_keys import masked

TRIES: Final = 3
CONNECT_S: Final = 5.0


class RefusedError(Exception):
    """Rollcall answered with a refusal."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


class Line:
    """A connection, what the server complained about, and how often it was lost."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self.client = client
        self.settings = settings
        self.complaints: list[str] = []
        self.losses = 0
        self.on_back: list[Callable[[], None]] = []

    async def note(self, error: Exception) -> None:
        """Keep a complaint; it explains a later silence."""
        self.complaints.append(str(error))

    async def note_lost(self) -> None:
        """Count a loss: what was asked then may never be answered."""
        self.losses += 1

    async def note_back(self) -> None:
        """Tell that the connection stands again."""
        for tell in self.on_back:
            tell()

    def forbidden(self) -> str:
        """Return the server's word that we lack a permission, if it said so."""
        return next((text for text in self.complaints if "ermission" in text or "uthoriz" in text), "")

    async def ask(self, operation: Operation, who: str, params: Struct, *, timeout_s: float) -> bytes:
        """Return the answer; raises RefusedError, Failed or TimeoutError."""
        try:
            reply = await self.client.request(
                self.subject(operation, who),
                codec.encode(params),
                timeout=timeout_s,
                headers={"traceparent": trace.following({})},
            )
        except ne.NoRespondersError as error:
            raise RefusedError(
                NobodyAnswersError(f"nobody answers for {operation.owner}").problem()
            ) from error
        except ne.TimeoutError:
            if denied := self.forbidden():
                raise Failed(f"the bus does not allow {who} to do that: {denied}", FORBIDDEN) from None
            raise TimeoutError from None
        if status := (reply.headers or {}).get("Nats-Service-Error-Code"):
            raise RefusedError(problem_of(reply.data, status))
        return reply.data

    def subject(self, operation: Operation, who: str) -> str:
        """Return where an operation is asked for."""
        who = subjects.name(who)
        if operation.scope == "agent":
            return f"{self.settings.root}.{subjects.agent_command(who, operation.verb)}"
        return f"{self.settings.root}.{subjects.command(operation.owner, operation.verb, who)}"

    async def listen(self, handler: Callable[[Msg], None], *wanted: str) -> None:
        """Hand each message on one of these subjects to `handler`, from now on."""

        async def on_message(message: Msg) -> None:
            handler(message)

        for subject in wanted:
            await self.client.subscribe(f"{self.settings.root}.{subject}", cb=on_message)
        await self.client.flush()


def problem_of(data: bytes, status: str) -> Problem:
    """Read a refusal; one that cannot be read is still a refusal."""
    try:
        return msgspec.json.decode(data, type=Problem)
    except (msgspec.MsgspecError, ValueError):
        return Problem(code="internal", status=int(status) if status.isdigit() else 500, title="Refused")


@asynccontextmanager
async def line(
    settings: Settings, who: str, *, kind: Who = "admin", lasting: bool = False
) -> AsyncGenerator[Line]:
    """Connect as `who`; `lasting` connections come back by themselves."""
    url = _url(settings)
    found = Line(StrictClient(), settings)
    try:
        shown = proof(settings, url, kind, subjects.name(who))
    except ConfigError as error:
        raise Failed(str(error), CONFIG) from error
    try:
        async with asyncio.timeout(CONNECT_S):
            await found.client.connect(
                url,
                name=f"rollcall-cli-{who}",
                inbox_prefix=shown.inbox,
                error_cb=found.note,
                disconnected_cb=found.note_lost,
                reconnected_cb=found.note_back,
                allow_reconnect=lasting,
                max_reconnect_attempts=1,  # the first connect would never give up with -1
                reconnect_time_wait=1 if lasting else 0,
                connect_timeout=int(CONNECT_S),
                user_credentials=shown.file,
                user_jwt_cb=shown.login.token if shown.login else None,
                signature_cb=shown.login.sign if shown.login else None,
                tls=shown.tls,
            )
    except (ne.Error, OSError, TimeoutError, ValueError) as error:
        with suppress(ne.Error, OSError):
            await found.client.close()
        raise _unreachable(found, url, error) from error
    found.client.options["max_reconnect_attempts"] = -1
    try:
        yield found
    finally:
        with suppress(ne.Error, OSError, TimeoutError):
            await found.client.close()


def _unreachable(found: Line, url: str, error: Exception) -> Failed:
    if denied := found.forbidden():
        creds = found.settings.nats.creds
        shown = f"with the credentials in {creds}" if creds else "without credentials: --creds FILE"
        return Failed(
            f"{masked(url)} does not let us in {shown} ({denied})",
            FORBIDDEN,
            hint="rollcall credential ls, where the keys are: revoked or expired ones are not there",
        )
    why = found.complaints[-1] if found.complaints else str(error) or type(error).__name__
    return Failed(
        f"the bus at {masked(url)} cannot be reached: {masked(why)}", UNAVAILABLE, hint="rollcall up"
    )


def _url(settings: Settings) -> str:
    url = bus_url(settings)
    if url is None:
        where = f"{settings.url_file} is not there"
        raise Failed(f"no bus is running here ({where})", UNAVAILABLE, hint="rollcall up   (or set NATS_URL)")
    return url


async def exchange(
    settings: Settings, operation: Operation, who: str, params: Struct, *, timeout_s: float
) -> bytes:
    """Ask, at most three times under the same command id; raises RefusedError or Failed."""
    for _ in range(TRIES):
        try:
            async with line(settings, who, kind="agent" if operation.scope == "agent" else "admin") as found:
                return await found.ask(operation, who, params, timeout_s=timeout_s)
        except (TimeoutError, ne.ConnectionClosedError, OSError):
            continue  # whether it was done is unknown: the command id makes asking again safe
    raise silent(params, timeout_s)


def silent(params: Struct, timeout_s: float) -> RefusedError:
    """Return the refusal that stands for no answer at all."""
    detail = f"no answer in {TRIES} tries of {timeout_s:g} s"
    if identity := getattr(params, "command_id", None):
        detail += f"; to try again safely add --command-id {identity}"
    return RefusedError(UnavailableError(detail).problem())


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run one command's conversation."""

    async def conversation() -> Any:
        return await main()

    return asyncio.run(conversation())
