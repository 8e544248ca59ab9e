"""Credentials of the bus, decided without one: who is let in, what replaces what, who is let in no more."""

from typing import Any

import pytest

from contracts.credentials import CredentialRow, Holder
from contracts.errors import ExistsError, NotFoundError
from contracts.operations.credentials import CreateParams, CreateResult, RevokeParams, RevokeResult
from contracts.tokens import TokenRow
from contracts.work import Changes
from domain import credentials
from domain.credentials import DAY_US, MINUTE_US
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
        world, START, params, actor=ACTOR, known=known, same=same, sign=lambda new: f"for {new.name}"
    )


def revoke(world: World, known: tuple[CredentialRow, ...], tokens: tuple[TokenRow, ...]) -> Changes:
    params = RevokeParams(name="A1", holder="agent")
    return credentials.revoke(world, START, params, actor=ACTOR, known=known, tokens=tokens)


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
    assert [fact.event for fact in changes.facts] == ["revoked"]
    again = revoke(world, (row(ends_at=START),), (token(revoked_at=1),))
    assert (again.rows, again.facts) == ((), ())
    only_http = revoke(world, (), (token(),))
    assert isinstance(only_http.answer, RevokeResult)
    assert only_http.answer.name == "a1"
    with pytest.raises(NotFoundError, match="no credential of agent A1"):
        revoke(world, (), ())


def test_what_counts_is_listed_and_the_rest_on_demand() -> None:
    rows = (row(), row("C", ends_at=START), row("D", expires_at=START), row("E", ends_at=START + 1))
    assert [item.public_key[1] for item in credentials.listed(rows, START, every=False).items] == ["B", "E"]
    assert [item.ends_at is None for item in credentials.listed(rows, START, every=True).items] == [
        True,
        False,
        True,
        False,
    ]
