"""Credentials of the bus, decided without one: who is let in, what replaces what, who is let in no more."""

from functools import partial
from typing import Any

import pytest
from msgspec import structs

from contracts.credentials import CredentialRow, Holder
from contracts.errors import ConflictError, ExistsError, InvalidError, NotFoundError
from contracts.operations.agents import AddParams, SetParams
from contracts.operations.credentials import (
    CreateParams,
    CreateResult,
    ListParams,
    RevokeParams,
    RevokeResult,
)
from contracts.operations.flags import FlagParams, ResumeParams
from contracts.operations.presence import ReadyParams
from contracts.operations.tokens import CreateParams as TokenParams
from contracts.tokens import TokenRow
from contracts.work import Changes
from domain import credentials, teams, tokens
from domain.agents import add, set_agent
from domain.credentials import DAY_US, MINUTE_US
from domain.flags import flag, resume, retire
from domain.projection import alive, flags
from tests.domain.world import START, World

KEY = "U" + "A" * 55
ACTOR = "operator:ann"


@pytest.fixture
def world() -> World:
    found = World()
    found.agent("a1")
    return found


def row(key: str = "B", holder: Holder = "agent", name: str = "a1", **fields: Any) -> CredentialRow:
    given: dict[str, Any] = {"created_at": 0, "created_by": ACTOR, "expires_at": START + DAY_US} | fields
    return CredentialRow(public_key="U" + key * 55, holder=holder, name=name, **given)


def token(**fields: Any) -> TokenRow:
    given: dict[str, Any] = {"name": "t", "role": "agent", "agent": "a1", "prefix": "p", "digest": b""}
    times: dict[str, Any] = {"created_at": 0, "created_by": ACTOR, "expires_at": START + DAY_US}
    return TokenRow(**given | times | fields)


def create(world: World, name: str = "a1", same: tuple[CredentialRow, ...] = (), **fields: Any) -> Changes:
    known = fields.pop("known", ())
    params = CreateParams(name=name, public_key=KEY, **fields)
    return credentials.create(
        world,
        START,
        params,
        actor=ACTOR,
        known=known,
        same=same,
        sign=lambda new: f"for {new.name}",
        timers=world.timers,
    )


def revoke(
    world: World,
    known: tuple[CredentialRow, ...],
    tokens: tuple[TokenRow, ...] = (),
    *,
    guarded: bool = True,
    holder: Holder = "agent",
    name: str = "A1",
) -> Changes:
    params = RevokeParams(name=name, holder=holder)
    return credentials.revoke(
        world,
        START,
        params,
        actor=ACTOR,
        known=known,
        tokens=tokens,
        guarded=guarded,
        timers=world.timers,
    )


def test_a_key_is_let_in_under_the_agents_own_spelling(world: World) -> None:
    changes = create(world, "A1", days=2, known=(row(),))
    (put,) = changes.rows
    assert isinstance(put.record, CredentialRow)
    assert (put.record.name, put.record.expires_at) == ("a1", START + 2 * DAY_US)
    assert isinstance(changes.answer, CreateResult)
    assert (changes.answer.name, changes.answer.token) == ("a1", "for a1")
    assert (changes.facts[0].event, changes.facts[0].version) == ("created", 2)


def test_who_is_no_agent_gets_none_as_an_agent(world: World) -> None:
    with pytest.raises(NotFoundError, match="no active agent ghost"):
        create(world, "ghost")
    assert create(world, "ghost", holder="operator").rows
    with pytest.raises(ExistsError, match="used once"):
        create(world, same=(row(),))


def test_people_and_agents_do_not_share_a_name(world: World) -> None:
    with pytest.raises(ExistsError, match="a1 is an agent"):
        create(world, "A1", holder="read_only")
    assert create(world, "A1", holder="machine").rows
    people = (row(ends_at=START), row("C", "admin", "A2"))
    with pytest.raises(ExistsError, match="admin A2 has credentials"):
        world.operate(partial(add, people=people), AddParams(name="a2"))
    world.operate(partial(add, people=people[:1]), AddParams(name="a2"))


def test_a_new_key_ends_the_old_ones_after_a_while(world: World) -> None:
    soon = row("C", ends_at=START + MINUTE_US)
    changes = create(world, known=(row(), soon), keep_minutes=10)
    ends = [put.record.ends_at for put in changes.rows if isinstance(put.record, CredentialRow)]
    assert ends == [None, START + 10 * MINUTE_US]  # the one that ends sooner is left as it is
    assert changes.facts[0].data["replaces"] == 1


def test_who_is_revoked_is_out_on_the_bus_and_over_http(world: World) -> None:
    changes = revoke(world, (row(), row("C", ends_at=START)), (token(), token(name="u", revoked_at=1)))
    assert [put.query for put in changes.rows] == ["put_credential", "put_token"]
    assert isinstance(changes.answer, RevokeResult)
    assert (changes.answer.name, changes.answer.credentials, changes.answer.tokens) == ("a1", 1, 1)
    assert [fact.event for fact in changes.facts] == ["revoked", "shut_out"]
    world.write(changes)
    again = revoke(world, (row(ends_at=START),), (token(revoked_at=1),))
    assert (again.rows, again.facts) == ((), ())
    only_http = revoke(world, (), (token(),))
    assert isinstance(only_http.answer, RevokeResult)
    assert only_http.answer.name == "a1"
    with pytest.raises(NotFoundError, match="no credential of agent A1"):
        revoke(world, (), ())


def test_whom_nothing_lets_in_is_offered_nothing_until_it_gets_a_key(world: World) -> None:
    world.write(revoke(world, (row(),)))
    agent = world.agents["a1"]
    assert (agent.revoked_at, agent.flagged_by, flags(agent)) == (START, "ann", ("revoked",))
    assert "rollcall agent add a1" in str(agent.flag_reason)
    assert alive(agent) == "revoked"  # no notice of a policy goes to it
    assert not teams.ready([agent], ReadyParams()).ready
    world.write(revoke(world, (row(ends_at=START),)))  # said again: nothing new
    assert world.events("shut_out") == ["shut_out"]
    with pytest.raises(ConflictError, match="a1 is revoked"):
        world.task(to="a1")
    assert world.holder(world.task()).agent == "Ruto"
    world.operate(resume, ResumeParams(name="a1"))  # no operator's word makes it hear
    assert flags(world.agents["a1"]) == ("revoked",)
    world.write(create(world))
    assert (world.agents["a1"].flag_reason, flags(world.agents["a1"])) == (None, ())
    assert (world.events("let_in"), world.holder(world.task()).agent) == (["let_in"], "a1")


def test_a_token_is_a_way_in_too(world: World) -> None:
    world.write(revoke(world, (row(),)))
    world.operate(partial(flag, which="quarantined"), FlagParams(name="a1", reason="it answers nonsense"))
    given: dict[str, Any] = {"name": "t", "scope": "agent"}
    given |= {"prefix": "rcl_agent_00000000", "digest": "0" * 64}
    allow = partial(tokens.create, known=())
    world.operate(allow, TokenParams(agent="A1", **given))
    agent = world.agents["a1"]
    assert (flags(agent), agent.flag_reason) == (("quarantined",), "it answers nonsense")
    world.operate(retire, FlagParams(name="a1", reason="gone"))
    for agent_name in ("a1", "ghost"):
        with pytest.raises(NotFoundError, match="no active agent"):
            world.operate(allow, TokenParams(agent=agent_name, **given))


def test_who_is_told_over_http_or_on_an_open_bus_is_offered_work_all_the_same(world: World) -> None:
    world.agents["a1"] = structs.replace(world.agents["a1"], endpoint_url="https://a1.example")
    world.write(revoke(world, (row(),)))
    assert world.holder(world.task(to="a1")).agent == "a1"
    world.agent("a2")
    world.write(revoke(world, (row(name="a2"),), guarded=False, name="a2"))
    assert world.holder(world.task(to="a2")).agent == "a2"
    world.agent("a3")
    world.write(revoke(world, (row(name="a3"),), name="a3"))
    world.operate(partial(resume, guarded=False), ResumeParams(name="a3"))  # the bus was opened since
    assert world.holder(world.task(to="a3")).agent == "a3"
    assert not revoke(world, (row(holder="machine", name="a1"),), holder="machine").agents


def test_who_is_retired_is_let_in_no_more(world: World) -> None:
    gone = partial(retire, credentials=(row(), row("C", ends_at=1)), tokens=(token(),))
    world.operate(gone, FlagParams(name="a1", reason="gone"))
    assert world.rows_put == ["put_credential", "put_token"]
    assert world.facts[-1].event == "revoked"
    assert world.facts[-1].data == {"holder": "agent", "credentials": 1, "tokens": 1}
    world.operate(set_agent, SetParams(name="a1", active=True))
    assert flags(world.agents["a1"]) == ("revoked",)  # it has to be given a way in again
    world.agent("a2")
    world.operate(
        partial(retire, credentials=(row(name="a2"),), guarded=False), FlagParams(name="a2", reason="x")
    )
    assert world.agents["a2"].revoked_at is None


def test_what_counts_is_listed_and_the_rest_on_demand() -> None:
    rows = (row(), row("C", ends_at=START), row("D", expires_at=START), row("E", ends_at=START + 1))
    page = credentials.listed(rows, START, ListParams())
    assert ([item.public_key[1] for item in page.items], page.next) == (["B", "E"], None)
    page = credentials.listed(rows, START, ListParams(all=True))
    assert [item.ends_at is None for item in page.items] == [True, False, True, False]


def test_a_page_begins_where_the_one_before_has_ended() -> None:
    rows = (row(), row("C"))
    page = credentials.listed(rows, START, ListParams(limit=2))
    last = rows[-1]
    assert page.next is not None
    assert page.next == f"{last.holder}:{last.name}:{last.public_key}"
    assert dict(credentials.begins(page.next)) == {
        "holder": last.holder,
        "name": last.name,
        "public_key": last.public_key,
    }
    assert set(dict(credentials.begins("")).values()) == {""}
    for wrong in ("ann", "agent:ann", "agent:ann:U:U"):
        with pytest.raises(InvalidError, match="no page"):
            credentials.begins(wrong)
