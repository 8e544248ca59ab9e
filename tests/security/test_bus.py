"""Nobody gets further on the bus than their role: every row is tried on a real server with real services."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.identity import jwt
from bus.identity.keyring import Keyring
from bus.identity.permissions import AGENT_SUBS_MAX, ME, grants
from bus.identity.server import Secured
from rollcall.client import Agent, NotAllowed, NotStored
from rollcall.settings import Settings
from rollcall.settings_values import SERVICES
from rollcall.wiring import services
from tests.security.site import ROOT, Caller, Site, apart, fresh, secured
from tests.support.nats import until

PINGS = 100
FOREIGN = (
    *(f"{ROOT}.ping.ann.*", f"{ROOT}.ping.*.*", f"{ROOT}.ping.>", f"{ROOT}.>", ">", "*.>"),
    *(f"{ROOT}.answer.ann.*", f"{ROOT}.notice.ann.*", f"{ROOT}.in.>", f"{ROOT}.evt.>", f"{ROOT}.cmd.>"),
    *("_INBOX.>", "_INBOX_ann.>", "_INBOX__ann.>", "_R_.>", "$JS.>", "$SYS.>", "$SRV.>"),
)
API = (
    *("INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.ROLLCALL_PINGS", "STREAM.PURGE.ROLLCALL_PINGS"),
    *("STREAM.DELETE.ROLLCALL_PINGS", "STREAM.MSG.GET.ROLLCALL_PINGS", "STREAM.CREATE.MINE"),
    *("DIRECT.GET.ROLLCALL_PINGS", f"DIRECT.GET.ROLLCALL_PINGS.{ROOT}.ping.ann.1"),
    *("CONSUMER.CREATE.ROLLCALL_PINGS", f"CONSUMER.CREATE.ROLLCALL_PINGS.bob.{ROOT}.ping.ann.*"),
    *("CONSUMER.DURABLE.CREATE.ROLLCALL_PINGS.bob", "CONSUMER.MSG.NEXT.ROLLCALL_ACKS.answers"),
    *("CONSUMER.MSG.NEXT.ROLLCALL_PINGS.ann", "CONSUMER.LIST.ROLLCALL_PINGS"),
)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with secured(tmp_path / "state") as running:
        yield running


async def test_an_agent_hears_nothing_of_another(site: Site) -> None:
    ann, bob = await site.caller("agent", "ann"), await site.caller("agent", "bob")
    house = await site.caller("house", "house")
    for subject in FOREIGN:
        await bob.hear(subject)
        await bob.hear(subject, queue="greedy")
    await bob.flushed()
    assert len(bob.refused) == 2 * len(FOREIGN)
    await (await ann.hear(f"{ROOT}.ping.ann.*")).flushed()
    for number in range(PINGS):
        await house.client.publish(
            f"{ROOT}.in.ping.ann.{number}", b"{}", headers={"Nats-Msg-Id": f"p{number}"}
        )
    await until(lambda: len(ann.heard) == PINGS)
    await bob.flushed()
    assert bob.heard == []


async def test_an_agent_has_no_way_to_the_streams(site: Site) -> None:
    bob = await site.caller("agent", "bob")
    for verb in API:
        assert await bob.denied(f"$JS.API.{verb}", {"deliver_subject": f"{ROOT}.ack.ann.1"}), verb
    for subject in (f"{ROOT}.in.ping.ann.1", f"{ROOT}.evt.task.1.done", f"{ROOT}.wake.pinger"):
        assert await bob.denied(subject), subject


async def test_nobody_answers_for_another(site: Site) -> None:
    olga = await site.caller("admin", "olga")
    assignment = await site.work("ann", olga)
    bob = await site.caller("agent", "bob")
    ack = {"kind": "ack", "agent": "ann", "incarnation": await incarnation(olga), **fresh()}
    assert await bob.denied(f"{ROOT}.ack.ann.{assignment}", ack)
    for verb in ("ack", "complete", "next", "join", "sync"):
        assert await bob.denied(f"{ROOT}.cmd.agent.ann.{verb}", {"assignment": assignment}), verb
    assert await bob.denied(f"{ROOT}.hb.ann")
    told = await bob.ask(f"{ROOT}.cmd.agent.bob.ack", {"assignment": assignment, **fresh()})
    assert told["status"] == 404
    # on its own subject, with the number of the other's assignment: taken by the bus, refused by the pinger
    await (await bob.hear(f"{ROOT}.answer.bob.*")).flushed()
    stored = await bob.ask(f"{ROOT}.ack.bob.{assignment}", ack)
    assert stored["stream"] == "ROLLCALL_ACKS"
    await until(lambda: any(b"not_found" in data for _, data in bob.heard))
    assert await status(olga, assignment) == "pending"


async def test_a_reply_cannot_be_forged_into_an_answer(site: Site) -> None:
    olga, house = await site.caller("admin", "olga"), await site.caller("house", "house")
    assignment = await site.work("ann", olga)
    bob = await site.caller("agent", "bob")
    target = f"{ROOT}.ack.ann.{assignment}"
    for subject in (f"{ROOT}.ack.bob.7", f"{ROOT}.cmd.agent.bob.sync", f"{ROOT}.hb.bob"):
        await bob.client.publish(subject, b'{"kind":"ack"}', reply=target)
    await bob.flushed()
    barrier = await bob.ask(f"{ROOT}.ack.bob.8", {"kind": "ack", **fresh()})
    info = await house.ask("$JS.API.STREAM.INFO.ROLLCALL_ACKS", {"subjects_filter": f"{ROOT}.ack.ann.*"})
    assert barrier["seq"] == info["state"]["last_seq"] == 2  # bob's own two, and nothing of ann's
    assert await status(olga, assignment) == "pending"


@pytest.mark.parametrize("role", ["read_only", "operator", "admin"])
async def test_whoever_operates_has_nobody_answer_in_the_name_of_an_agent(site: Site, role: str) -> None:
    """A stream and JetStream answer wherever the question says, and ask for no right to publish there."""
    olga = await site.caller("admin", "olga")
    await site.work("ann", olga)
    ann, sly = await site.caller("agent", "ann"), await site.caller(role, "sly")
    target = f"{ROOT}.cmd.agent.ann.leave"
    for look in ("INFO", "STREAM.NAMES", "STREAM.INFO.ROLLCALL_EVENTS", "DIRECT.GET.ROLLCALL_EVENTS"):
        assert await sly.denied(f"$JS.API.{look}"), look
    await sly.client.publish(f"{ROOT}.msg.sly.direct", b'{"text":"hello"}', reply=target)
    await sly.flushed()
    if role != "read_only":  # it is taken in by the stream, which has answered the one before
        assert (await sly.ask(f"{ROOT}.msg.sly.direct", {"text": "hello"}))["stream"] == "ROLLCALL_INTAKE"
    assert (await ann.ask(f"{ROOT}.cmd.agent.ann.sync"))["leases"]
    audit = await olga.ask(f"{ROOT}.cmd.monitor.audit-ls.olga", {"aggregate": "agent"})
    assert audit["items"][0]["event"] == "registered"
    assert "left" not in [event["event"] for event in audit["items"]]


async def test_a_captured_answer_changes_nothing_when_it_is_said_again(site: Site) -> None:
    olga = await site.caller("admin", "olga")
    assignment = await site.work("ann", olga)
    ann = await site.caller("agent", "ann")
    captured = {"assignment": assignment, **fresh()}
    first = await ann.ask(f"{ROOT}.cmd.agent.ann.ack", captured)
    assert await ann.ask(f"{ROOT}.cmd.agent.ann.ack", captured) == first
    body = {"task": 1, **fresh()}
    await olga.ask(f"{ROOT}.cmd.assigner.task-cancel.olga", body)
    again = await ann.ask(f"{ROOT}.cmd.agent.ann.ack", captured | fresh())
    assert again["status"] == 409


async def test_an_id_that_another_used_first_swallows_no_answer(site: Site) -> None:
    olga = await site.caller("admin", "olga")
    assignment = await site.work("ann", olga)
    bob = await site.caller("agent", "bob")
    command_id = fresh()["command_id"]
    await bob.client.request(
        f"{ROOT}.ack.bob.1", b'{"kind":"ack"}', headers={"Nats-Msg-Id": f"{command_id}:1"}
    )
    ann = Agent("ann", url=site.url, options=options(site, "ann"))
    async with ann:
        body = {"kind": "ack", "command_id": command_id, "incarnation": await incarnation(olga)}
        await ann.store(assignment, body)
    await until_status(olga, assignment, "acknowledged")


async def test_what_is_refused_never_looks_like_success(site: Site) -> None:
    olga = await site.caller("admin", "olga")
    assignment = await site.work("ann", olga)
    stranger = Agent("ann", url=site.url, options=options(site, "bob"), patience_s=3)
    with pytest.raises(NotAllowed):
        await stranger.__aenter__()
    async with Agent("ann", url=site.url, options=options(site, "ann")) as ann:
        with pytest.raises(NotStored):
            await ann.store(assignment, {"kind": "progress", "note": "x" * 70_000, **fresh()})
    assert await status(olga, assignment) == "pending"


async def test_whoever_shows_nothing_is_not_let_in(site: Site) -> None:
    with pytest.raises(NotAllowed):
        await Agent("ann", url=site.url, patience_s=3).__aenter__()


async def test_each_service_has_what_it_needs_and_no_more_than_its_own(tmp_path: Path) -> None:
    """They run apart, each under its own role; what one lacks would be seen as a refusal of the server."""
    async with apart(tmp_path / "state") as site:
        olga = await site.caller("admin", "olga")
        assignment = await site.work("ann", olga)
        async with Agent("ann", url=site.url, options=options(site, "ann")) as ann:
            async for ping in ann.pings():
                await ping.ack()
                break
            await until_status(olga, assignment, "acknowledged")
            assert (await ann.sync()).leases
        letters = await olga.ask(f"{ROOT}.cmd.relay.dlq-ls.olga")
        assert letters == {"items": [], "next": None}


async def test_operators_go_as_far_as_their_role(site: Site) -> None:
    """Their names are theirs to choose: one that is called as a verb must not speak for agents."""
    olga = await site.caller("admin", "olga")
    assignment = await site.work("ann", olga)
    sly = await site.caller("admin", "ack")
    body = {"assignment": assignment, **fresh()}
    assert await sly.denied(f"{ROOT}.cmd.agent.ann.ack", body)
    assert await sly.denied(f"{ROOT}.cmd.monitor.agent-ls.olga")
    reader = await site.caller("read_only", "rea")
    assert (await reader.ask(f"{ROOT}.cmd.monitor.agent-ls.rea"))["items"]
    assert await reader.denied(f"{ROOT}.cmd.monitor.agent-add.rea", {"name": "eve", **fresh()})
    assert await reader.denied(f"{ROOT}.msg.rea.direct", {"text": "please fix the login"})  # would be a task
    usual = await site.caller("operator", "oli")
    assert not await usual.denied(f"{ROOT}.msg.oli.direct", {"text": "please fix the login"})
    assert await usual.denied(f"{ROOT}.cmd.monitor.token-create.oli")
    for caller in (sly, reader, usual):
        for subject in (f"{ROOT}.in.ping.ann.1", f"{ROOT}.evt.task.1.done", f"{ROOT}.ack.ann.1"):
            assert await caller.denied(subject), subject
        assert await caller.denied("$JS.API.STREAM.PURGE.ROLLCALL_EVENTS")


@pytest.mark.parametrize("role", ["read_only", "operator"])
async def test_who_looks_hears_what_is_said_and_no_session(site: Site, role: str) -> None:
    rea = await site.caller(role, "rea")
    for heard in ("evt.>", "ping.>", "answer.>", "notice.>", "vital.>"):
        await rea.hear(f"{ROOT}.{heard}")
    await rea.flushed()
    assert rea.refused == []
    for private in ("ack.>", "hb.>", "dlq.>"):
        await rea.hear(f"{ROOT}.{private}")
    await rea.flushed()
    assert len(rea.refused) == 3


async def test_a_service_alone_takes_no_more_than_it_needs(site: Site) -> None:
    relay = await site.caller("cleanup", "cleanup")
    for subject in (f"{ROOT}.cmd.agent.*.ack", f"{ROOT}.ack.*.*", f"{ROOT}.hb.*", f"{ROOT}.>"):
        await relay.hear(subject)
    await relay.flushed()
    assert len(relay.refused) == 4
    assert await relay.denied(f"{ROOT}.order.m1.ann")
    assert await relay.denied(f"{ROOT}.cmd.monitor.agent-add.olga")


def test_what_a_server_is_told_has_no_hole(tmp_path: Path) -> None:
    roles = grants(services(SERVICES, Settings()), ROOT)
    secured = Secured(Keyring(tmp_path / "identity"), roles, root=ROOT)
    text = "\n".join(secured.config())
    assert "no_auth_user" not in text
    for name, claims in secured.claims(0).items():
        rights = claims["nats"]
        assert rights["default_permissions"] == {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}}
        for signer in rights["signing_keys"]:
            template = signer["template"]
            assert template["pub"].keys() == template["sub"].keys() == {"allow"}, name
            assert template["pub"]["allow"]
            assert template["sub"]["allow"]
    for role in ("agent", "machine"):
        said = (*roles[role].pub, *roles[role].sub)
        assert all(ME in subject.split(".") or f"_{ME}" in subject for subject in said)
        assert not any(subject.startswith("$") or subject == ">" for subject in said)
        assert roles[role].subs == AGENT_SUBS_MAX


def test_keys_are_read_by_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    folder.mkdir(mode=0o755)
    roles = grants(services(SERVICES, Settings()), ROOT)
    text = "\n".join(Secured(Keyring(folder), roles, root=ROOT).config())
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert not re.search(r"\bS[OAU][A-Z2-7]{56}", text)
    key = Keyring(folder).operator()
    assert key.seed not in repr(key)
    with pytest.raises(ValueError, match="not a token"):
        jwt.claims_of("x")


async def incarnation(olga: Caller) -> str:
    return str((await olga.ask(f"{ROOT}.cmd.monitor.system-status.olga"))["incarnation"])


async def status(olga: Caller, assignment: int) -> str:
    shown = await olga.ask(f"{ROOT}.cmd.assigner.task-show.olga", {"task": 1})
    return next(str(row["status"]) for row in shown["assignments"] if row["id"] == assignment)


async def until_status(olga: Caller, assignment: int, wanted: str) -> None:
    async def holds() -> bool:
        return await status(olga, assignment) == wanted

    await until(holds)


def options(site: Site, name: str) -> dict[str, object]:
    from bus.identity.keyring import Login

    login = Login(site.keyring, role="agent", account="agents", name=name)
    return {"user_jwt_cb": login.token, "signature_cb": login.sign}
