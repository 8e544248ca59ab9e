"""A nats-server elsewhere that was told of our keys, and services that run where the keys are not."""

import shlex
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.client import Access
from bus.embedded import EmbeddedServer, Listening, Open
from bus.identity import jwt
from bus.identity.keyring import Keyring
from bus.identity.permissions import inbox
from rollcall.client import Agent, NotAllowed
from tests.security.site import ROOT, Site, ask, in_site, rollcall, violations
from tests.support.nats import until
from tests.support.processes import running


class Told(Open):
    """What `rollcall identity server` printed, in the configuration of a server."""

    def __init__(self, keyring: Keyring, lines: str) -> None:
        self._keyring = keyring
        self._lines = lines

    @property
    def account(self) -> str:  # type: ignore[override]
        return self._keyring.account("core")

    def config(self) -> list[str]:
        return self._lines.splitlines()


@pytest.fixture
async def foreign(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """Run a server that only knows what it was told; the keys are in `state`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    state, url = tmp_path / "state", f"nats://127.0.0.1:{port}"
    state.mkdir()
    site = Site(state)
    lines = await rollcall(site, *shlex.split(f"identity server {url} --folder {tmp_path / 'accounts'}"))
    server = EmbeddedServer(
        tmp_path / "bus",
        durability="relaxed",
        security=Told(site.keyring, lines),
        listening=Listening(port=port),
    )
    await server.start()
    yield server
    await server.stop()


async def test_a_server_elsewhere_lets_in_whom_our_keys_vouch_for(
    foreign: EmbeddedServer, tmp_path: Path
) -> None:
    state, there = tmp_path / "state", tmp_path / "there"
    known = {"nats.url": foreign.url}
    async with running("-m", "rollcall", "up", state=state, settings=known) as program:
        assert not violations(program)
        site = Site(state)
        for words in ("agent add ann --beats none", f"identity creds pinger --to {tmp_path / 'p.creds'}"):
            code, complaint, _ = await ask(site, *words.split(), settings=known)
            assert code == 0, complaint
        own = known | {"nats.creds": tmp_path / "p.creds", "store.url": f"sqlite:///{state / 'rollcall.db'}"}
        async with running("-m", "rollcall", "run", "pinger", state=there, settings=own) as pinger:
            await pinger.stop()
            assert not violations(pinger)
        creds = state / "creds/ann.creds"
        async with Agent("ann", url=foreign.url, creds=creds, patience_s=5) as ann:
            await ask(site, "agent", "revoke", "ann", settings=known)
            await until(lambda: not ann._line.connected)
        with pytest.raises(NotAllowed):
            await Agent("ann", url=foreign.url, creds=creds, patience_s=5).__aenter__()
        kept = state / f"identity/told/{site.keyring.account('agents')}.jwt"
        await until(lambda: "revocations" in jwt.claims_of(kept.read_text("ascii"))["nats"])
        told = [line for line in program.said if "accounts.told" in line]
        assert len(told) == 1, told  # and not once a second


async def test_a_service_elsewhere_goes_as_far_as_its_role(foreign: EmbeddedServer, tmp_path: Path) -> None:
    site, file = Site(tmp_path / "state"), tmp_path / "pinger.creds"
    await rollcall(site, "identity", "creds", "pinger", "--to", str(file))
    assert file.stat().st_mode & 0o077 == 0
    (site.folder / "nats.url").write_text(foreign.url, "utf-8")
    async with in_site(site.folder) as found:
        pinger = await found.let_in(Access(credentials_file=str(file)), inbox("pinger", ""))
        assert not await pinger.denied(f"{ROOT}.in.ping.ann.1")
        assert await pinger.denied(f"{ROOT}.cmd.agent.ann.ack")
        await (await pinger.hear(f"{ROOT}.cmd.escalator.*.*")).flushed()
        assert "violation for subscription" in pinger.refused[-1]
    (tmp_path / "empty").mkdir()
    code, complaint, _ = await ask(Site(tmp_path / "empty"), "identity", "creds", "pinger")
    assert (code, "no keys in" in complaint) == (78, True)
