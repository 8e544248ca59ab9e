"""A world that is reached over HTTP."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from bus.service import Service
from contracts import tokens
from contracts.tokens import Role
from domain.addresses import Reach
from domain.timers import Timers
from services.gateway import Gateway, Listening, Reads
from tests.support.house import all_services
from tests.support.world import World, open_world

FIXED = "sesame-open-sesame"
API = "/api/v1"


def reads(services: Sequence[Service]) -> Reads:
    """Return how owners answer their queries, as the wiring gathers it."""
    found = (endpoint for service in services for endpoint in service.endpoints)
    return {one.operation.name: one.unit for one in found if one.operation.query and one.unit is not None}


class Doors:
    """The gateways of a world, as they open."""

    def __init__(self, listening: Listening, reach: Reach | None = None) -> None:
        self.listening = listening
        self.reach = reach
        self.urls: list[str] = []
        self.links: list[str] = []
        self.opened = anyio.Event()

    def note(self, url: str, link: str) -> None:
        self.urls.append(url)
        self.links.append(link)
        self.opened.set()

    def services(self, timers: Timers) -> list[Service]:
        owners = all_services(timers, self.reach)
        return [*owners, Gateway(listening=self.listening, reads=reads(owners), opened=self.note)]


class Web:
    """Callers before the gateway of a world."""

    def __init__(self, world: World, url: str, clients: AsyncExitStack) -> None:
        self.world = world
        self.url = url
        self._clients = clients

    async def client(self, token: str = FIXED) -> httpx.AsyncClient:
        """Return who calls with this token; "" for none."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        made = httpx.AsyncClient(base_url=self.url + API, headers=headers, timeout=20)
        return await self._clients.enter_async_context(made)

    async def token(self, role: Role, name: str = "", **more: Any) -> str:
        """Create a token, as the command line does."""
        drawn = tokens.token(role, secrets.token_bytes(32))
        await self.world.operator(
            "token.create",
            name=name or f"{role}-{secrets.token_hex(4)}",
            scope=role,
            prefix=tokens.prefix(drawn),
            digest=tokens.digest(drawn),
            **more,
        )
        return drawn

    async def caller(self, role: Role, **more: Any) -> httpx.AsyncClient:
        return await self.client(await self.token(role, **more))


@asynccontextmanager
async def open_web(
    folder: Path, listening: Listening | None = None, reach: Reach | None = None
) -> AsyncIterator[Web]:
    fixed = listening or Listening(fixed=tokens.digest(FIXED))
    doors = Doors(fixed, reach)
    async with open_world(folder, services=doors.services) as world, AsyncExitStack() as clients:
        with anyio.fail_after(20):
            await doors.opened.wait()
        yield Web(world, doors.urls[0], clients)
