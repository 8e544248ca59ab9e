"""Credentials: drawn where they are used, let in at once, replaced, and cut off within a second."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest

from bus.api import BusError
from bus.client import Access
from bus.identity import jwt
from bus.identity.keyring import Keyring, KeyringError
from bus.identity.keys import Key
from rollcall.client import Agent, NotAllowed
from tests.security.site import ROOT, Caller, Site, ask, fresh, rollcall, secured
from tests.support.nats import until


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with secured(tmp_path / "state") as running:
        yield running


def agent(site: Site, name: str) -> Agent:
    return Agent(name, url=site.url, creds=site.folder / "creds" / f"{name}.creds", patience_s=5)


async def admitted(site: Site, olga: Caller, name: str, *, holder: str = "agent", **more: object) -> Path:
    """Let somebody in as any client of NATS could, and return the file."""
    key = Key.new("user")
    body = {"name": name, "holder": holder, "public_key": key.public, **fresh(), **more}
    made = await olga.ask(f"{ROOT}.cmd.monitor.credential-create.olga", body)
    path = site.folder / f"{key.public}.creds"
    path.write_text(jwt.credentials(made["token"], key.seed), "utf-8")
    return path


async def test_an_agent_is_added_and_revoked_at_the_command_line(site: Site) -> None:
    said = await rollcall(site, "agent", "add", "ann")
    for word in ("nats --inbox-prefix _INBOX_ann sub", 'Agent("ann"', "credsAuthenticator"):
        assert word in said
    path = site.folder / "creds/ann.creds"
    assert path.stat().st_mode & 0o077 == path.parent.stat().st_mode & 0o077 == 0
    async with agent(site, "ann") as ann:
        assert not (await ann.sync()).leases
        door = site.folder / "agents/ann.sock"
        await until(door.exists)
        await rollcall(site, "agent", "revoke", "ann")
        await until(lambda: not ann._line.connected)
        await until(lambda: not door.exists())
    with pytest.raises(NotAllowed):
        await agent(site, "ann").__aenter__()
    await rollcall(site, "agent", "add", "ann")  # it is known: it gets new credentials, and nothing else
    async with agent(site, "ann"):
        pass


async def test_who_is_revoked_hears_of_it_and_does_not_knock_for_ever(site: Site) -> None:
    olga = await site.caller("admin", "olga")
    await site.work("ann", olga)
    creds = await admitted(site, olga, "ann")
    async with Agent("ann", url=site.url, creds=creds, patience_s=1, interval_s=1) as ann:
        await olga.ask(f"{ROOT}.cmd.monitor.credential-revoke.olga", {"name": "ann", **fresh()})
        with pytest.raises(NotAllowed):
            async for _ in ann.pings():
                pass


async def test_the_main_agent_gets_credentials_though_nobody_registered_it(site: Site) -> None:
    shown = json.loads(await rollcall(site, "agent", "add", "ruto", "-o", "json"))
    assert shown == {"name": "Ruto", "creds": str(site.folder / "creds/Ruto.creds")}
    async with agent(site, "Ruto"):
        pass


async def test_a_key_is_replaced_without_a_gap(site: Site) -> None:
    olga = await site.caller("admin", "olga")
    await site.work("ann", olga)
    first = await admitted(site, olga, "ann")
    second = await admitted(site, olga, "ann", keep_minutes=10)
    for creds in (first, second):
        async with Agent("ann", url=site.url, creds=creds):
            pass
    third = await admitted(site, olga, "ann", keep_minutes=0)
    async with Agent("ann", url=site.url, creds=third):
        pass

    async def out(creds: Path) -> bool:
        try:
            caller = await site.let_in(Access(credentials_file=str(creds)), "_INBOX_ann")
        except BusError:
            return True
        await caller.client.close()
        return False

    for creds in (first, second):
        await until(lambda creds=creds: out(creds))  # type: ignore[misc]


async def test_revoking_an_agent_revokes_its_tokens(site: Site) -> None:
    olga = await site.caller("admin", "olga")
    await site.work("ann", olga)
    token = {
        "name": "t",
        "scope": "agent",
        "agent": "ann",
        "prefix": "rcl_agent_00000000",
        "digest": "0" * 64,
    }
    await olga.ask(f"{ROOT}.cmd.monitor.token-create.olga", token | fresh())
    revoke = {"name": "ANN", **fresh()}
    ended = await olga.ask(f"{ROOT}.cmd.monitor.credential-revoke.olga", revoke)
    assert (ended["name"], ended["credentials"], ended["tokens"]) == ("ann", 0, 1)
    (found,) = (await olga.ask(f"{ROOT}.cmd.monitor.token-ls.olga", {"all": True}))["items"]
    assert found["revoked_at"]


async def test_who_is_retired_is_let_in_no_more(site: Site) -> None:
    """On the bus, over HTTP and at its own socket; who is only revoked is offered nothing meanwhile."""
    door, token = site.folder / "agents/ann.sock", site.folder / "ann.token"
    await rollcall(site, "agent", "add", "ann", "--beats", "none")
    await rollcall(site, *f"token create t --scope agent --agent ann --to {token}".split())
    await until(door.exists)
    url = (site.folder / "http.url").read_text("utf-8")
    bearer = {"authorization": f"Bearer {token.read_text('utf-8').strip()}"}
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", headers=bearer) as client:
        async with agent(site, "ann") as ann:
            assert (await client.post("/agent/sync", json={})).status_code == 200
            await rollcall(site, "agent", "retire", "ann", "--reason", "gone")
            await until(lambda: not ann._line.connected)

        async def refused() -> bool:
            return (await client.post("/agent/sync", json={})).status_code == 401

        await until(refused)
    await until(lambda: not door.exists())
    with pytest.raises(NotAllowed):
        await agent(site, "ann").__aenter__()
    olga = await site.caller("admin", "olga")
    task = (await olga.ask(f"{ROOT}.cmd.assigner.task-add.olga", {"title": "T", **fresh()}))["task"]
    assign = {"task": task, "agent": "ann"}
    await olga.ask(f"{ROOT}.cmd.monitor.agent-set.olga", {"name": "ann", "active": True, **fresh()})
    refusal = await olga.ask(f"{ROOT}.cmd.assigner.task-assign.olga", assign | fresh())
    assert (refusal["code"], "ann is revoked" in refusal["detail"]) == ("conflict", True)
    await admitted(site, olga, "ann")
    assert (await olga.ask(f"{ROOT}.cmd.assigner.task-assign.olga", assign | fresh()))["agent"] == "ann"


async def test_an_expired_credential_lets_nobody_in(site: Site) -> None:
    key = Key.new("user")
    token = site.keyring.user("agent", "agents", "ann", key.public, expires_s=1_000_000_000)
    path = site.folder / "old.creds"
    path.write_text(jwt.credentials(token, key.seed), "utf-8")
    with pytest.raises(NotAllowed):
        await Agent("ann", url=site.url, creds=path).__aenter__()


async def test_a_token_signed_by_somebody_else_lets_nobody_in(site: Site) -> None:
    key = Key.new("user")
    claims = jwt.user("ann", key.public, account=site.keyring.account("agents"))
    path = site.folder / "false.creds"
    path.write_text(jwt.credentials(jwt.signed(claims, Key.new("account"), at_s=0), key.seed), "utf-8")
    with pytest.raises(NotAllowed):
        await Agent("ann", url=site.url, creds=path).__aenter__()


async def test_who_gets_credentials_is_checked(site: Site) -> None:
    olga = await site.caller("admin", "olga")
    subject = f"{ROOT}.cmd.monitor.credential-create.olga"
    key = Key.new("user").public
    refused = await olga.ask(subject, {"name": "nobody", "public_key": key, **fresh()})
    assert refused["code"] == "not_found"
    body = {"name": "m1", "holder": "machine", "public_key": key}
    assert (await olga.ask(subject, body | fresh()))["holder"] == "machine"
    assert (await olga.ask(subject, body | {"name": "m2"} | fresh()))["code"] == "exists"
    assert (await olga.ask(subject, body | {"public_key": "SUX"} | fresh()))["code"] == "invalid"
    listed = await olga.ask(f"{ROOT}.cmd.monitor.credential-ls.olga")
    assert [row["name"] for row in listed["items"]] == ["m1"]
    another = {"name": "A1", "holder": "machine", "public_key": Key.new("user").public}
    assert (await olga.ask(subject, another | fresh()))["name"] == "A1"
    pages: list[list[str]] = []
    place: str | None = ""
    for _ in range(3):
        page = await olga.ask(f"{ROOT}.cmd.monitor.credential-ls.olga", {"limit": 1, "after": place})
        pages.append([row["name"] for row in page["items"]])
        place = page["next"]
    assert (pages, place) == ([["A1"], ["m1"], []], None)
    gone = await olga.ask(f"{ROOT}.cmd.monitor.credential-revoke.olga", {"name": "nobody", **fresh()})
    assert gone["code"] == "not_found"


async def test_somebody_asks_from_another_machine(site: Site, tmp_path: Path) -> None:
    """With a file and an address: who it is stands in the file."""
    file, far = tmp_path / "far.creds", Site(tmp_path / "elsewhere")
    far.folder.mkdir()
    await rollcall(site, "credential", "create", "zoe", "--holder", "read-only", "--creds", str(file))
    there = ("--nats-url", site.url, "--creds", str(file))
    assert (await ask(far, "agent", "ls", *there))[:2] == (0, "")
    code, complaint, _ = await ask(far, "agent", "pause", "ruto", "--reason", "x", *there)
    assert (code, "does not allow zoe to do that" in complaint) == (4, True)
    file.chmod(0o644)
    assert f"others may read {file}" in (await ask(far, "agent", "ls", *there))[1]
    code, complaint, _ = await ask(far, "agent", "ls", "--nats-url", site.url)
    assert (code, "without credentials: --creds FILE" in complaint) == (4, True)
    await rollcall(site, "credential", "revoke", "zoe", "--holder", "read-only")

    async def refused() -> bool:
        code, complaint, _ = await ask(far, "agent", "ls", *there)
        return (code, f"does not let us in with the credentials in {file}" in complaint) == (4, True)

    await until(refused)
    for wrong in (tmp_path / "none.creds", site.folder / "nats.url"):
        code, complaint, _ = await ask(far, "agent", "ls", "--nats-url", site.url, "--creds", str(wrong))
        assert (code, f"credentials in {wrong}: " in complaint) == (78, True)


async def test_nobody_who_operates_has_the_name_of_an_agent(site: Site) -> None:
    """What is said on `msg.<name>` would be taken for the agent's word."""
    olga = await site.caller("admin", "olga")
    let_in = {"name": "Ann", "public_key": Key.new("user").public}
    subject = f"{ROOT}.cmd.monitor.credential-create.olga"
    add = f"{ROOT}.cmd.monitor.agent-add.olga"
    assert (await olga.ask(subject, {**let_in, "holder": "admin", **fresh()}))["name"] == "Ann"
    refused = await olga.ask(add, {"name": "ann", **fresh()})
    assert (refused["code"], "admin Ann has credentials" in refused["detail"]) == ("exists", True)
    with pytest.raises(AssertionError, match="credential revoke Ann --holder admin"):
        await rollcall(site, "agent", "add", "ann")
    await rollcall(site, "credential", "revoke", "Ann", "--holder", "admin")
    assert (await olga.ask(add, {"name": "ann", **fresh()}))["name"] == "ann"
    for holder in ("operator", "admin", "read_only"):
        key = Key.new("user").public
        again = await olga.ask(subject, {"name": "ANN", "public_key": key, "holder": holder, **fresh()})
        assert (again["code"], "ann is an agent" in again["detail"]) == ("exists", True)
    machine = {"name": "ann", "public_key": Key.new("user").public, "holder": "machine"}
    assert (await olga.ask(subject, machine | fresh()))["holder"] == "machine"


async def test_the_keys_of_roles_are_replaced_while_all_runs(site: Site) -> None:
    lost: list[str] = []
    olga, house = await site.caller("admin", "olga"), await site.caller("house", "house")
    await site.work("ann", olga)
    creds = await admitted(site, olga, "ann")
    bob = await site.caller("agent", "bob")
    for caller in (olga, house, bob):
        caller.client.on_lost.append(lambda: lost.append("cut"))
    before = {role: site.keyring.signer(role).public for role in site.keyring.roles()}
    assert {"agent", "admin", "house", "system", "pinger"} <= before.keys()
    await rollcall(site, "identity", "rotate", "--keep", "1h")
    after = {role: site.keyring.signer(role).public for role in site.keyring.roles()}
    assert not set(before.values()) & set(after.values())
    async with Agent("ann", url=site.url, creds=creds):  # what the old one signed counts on
        pass
    fresh_creds = await admitted(site, olga, "ann")
    assert lost == []
    await rollcall(site, "identity", "rotate", "agent", "--keep", "0")
    for old in (creds, fresh_creds):
        with pytest.raises(NotAllowed):
            await Agent("ann", url=site.url, creds=old).__aenter__()
    async with Agent("ann", url=site.url, creds=await admitted(site, olga, "ann")):
        pass
    assert lost == ["cut"]  # it was bob, and nobody else
    await until(lambda: bob.client.is_connected)  # who has the key of the role signs in anew
    with pytest.raises(KeyringError):
        site.keyring.signer("nobody")


ROTATION = """
import sys, time, anyio
from rollcall.settings import Settings
from rollcall.wiring import authority
from pathlib import Path
keys = authority(Settings(state_dir=Path(sys.argv[1])))
assert keys.ready
print("ready", flush=True)
sys.stdin.read()
now_s = int(time.time())
for _ in range(4):
    anyio.run(lambda: keys.rotate(["agent", "pinger"], now_s, until_s=now_s + 3_600))
"""


async def test_who_replaces_keys_at_the_same_time_takes_turns(site: Site) -> None:
    """No key is lost that was used meanwhile: all that was ever signed counts on."""
    olga = await site.caller("admin", "olga")
    await site.work("ann", olga)
    first = {role: site.keyring.signer(role).public for role in ("agent", "pinger")}
    pipe = asyncio.subprocess.PIPE
    program = (sys.executable, "-c", ROTATION, str(site.folder))
    programs = [await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe) for _ in range(3)]
    for one in programs:
        assert one.stdin is not None
        assert one.stdout is not None
        assert await one.stdout.readline() == b"ready\n"
    for one in programs:
        one.stdin.close()  # type: ignore[union-attr]
    creds = [await admitted(site, olga, "ann") for _ in range(20)]  # signed by whichever key it is by now
    assert [await one.wait() for one in programs] == [0, 0, 0]
    beside = site.keyring.beside()
    for role, key in first.items():
        kept = {one.key for one in beside if one.role == role}
        assert key in kept
        assert len(kept) == 12
        assert site.keyring.signer(role).public not in kept
    for path in creds:
        caller = await site.let_in(Access(credentials_file=str(path)), "_INBOX_ann")
        await caller.client.close()


async def test_who_waits_too_long_for_its_turn_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.identity.keyring.TURN_S", 0.02)
    one, other = Keyring(tmp_path).turn, Keyring(tmp_path).turn
    async with one.taken():
        with pytest.raises(KeyringError, match="another process"):
            await other.taken().__aenter__()
        with pytest.raises(KeyringError, match="another process"):
            other.taken_at_once().__enter__()
    with other.taken_at_once():
        pass


async def test_keys_are_replaced_where_they_are(site: Site, tmp_path: Path) -> None:
    for folder, words, said in (
        (site.folder, ("agents",), "'agents' is not one of admin, agent"),
        (tmp_path / "elsewhere", (), "no keys in"),
    ):
        with pytest.raises(AssertionError, match=said):
            await rollcall(Site(folder), "identity", "rotate", *words)


async def test_who_was_revoked_stays_out_when_everything_starts_anew(tmp_path: Path) -> None:
    async with secured(tmp_path / "state") as site:
        olga = await site.caller("admin", "olga")
        await site.work("ann", olga)
        creds = await admitted(site, olga, "ann")
        await olga.ask(f"{ROOT}.cmd.monitor.credential-revoke.olga", {"name": "ann", **fresh()})
        told = anyio.Path(site.folder / "identity/revoked.json")
        await until(told.exists)
    async with secured(tmp_path / "state") as site:
        with pytest.raises(NotAllowed):
            await Agent("ann", url=site.url, creds=creds).__aenter__()


async def test_only_the_revoked_are_cut(site: Site) -> None:
    """The server is told what it does not know, and nobody else hears of it."""
    lost: list[str] = []
    system = site.folder / f"identity/accounts/{site.keyring.account('system')}.jwt"
    known = system.read_text("ascii")
    olga = await site.caller("admin", "olga")
    await site.work("ann", olga)
    creds = await admitted(site, olga, "ann")
    others = [olga, await site.caller("agent", "bob"), await site.caller("house", "house")]
    ann = await site.let_in(Access(credentials_file=str(creds)), "_INBOX_ann")
    ann.client.options["allow_reconnect"] = False
    for name, caller in (("ann", ann), *((f"other {number}", one) for number, one in enumerate(others))):
        caller.client.on_lost.append(lambda name=name: lost.append(name))  # type: ignore[misc]
    await olga.ask(f"{ROOT}.cmd.monitor.credential-revoke.olga", {"name": "ann", **fresh()})
    await until(lambda: bool(lost))
    for caller in others:
        await caller.flushed()
    assert set(lost) == {"ann"}
    assert system.read_text("ascii") == known  # its account had no news, so it was not told again
