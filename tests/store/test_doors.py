"""Tokens and credentials in the store."""

from collections.abc import Callable
from pathlib import Path

from contracts.credentials import CredentialRow
from contracts.tokens import TokenRow
from contracts.work import Changes, Row, View
from store.sqlite import SqliteStore
from tests.support.store import do, sql, unit


def written(*rows: Row) -> Callable[[View, int], Changes]:
    return lambda _view, _now: Changes(rows=rows)


async def test_what_lets_nobody_in_any_more_is_forgotten(store: SqliteStore, path: Path) -> None:
    """A revoked key is kept until it would have expired: until then the server has to be told of it."""
    for number in (1, 2, 3):
        token = TokenRow(
            name=f"t{number}",
            role="operator",
            agent=None,
            prefix="rcl_operator_12345678",
            digest=bytes(32),
            created_at=0,
            created_by="operator:ann",
            expires_at=number * 10,
        )
        key = CredentialRow(
            public_key=f"U{number}",
            holder="agent",
            name="a1",
            created_at=0,
            created_by="operator:ann",
            expires_at=number * 10,
            ends_at=1,
        )
        await do(store, unit(written(Row("put_token", token), Row("put_credential", key))))
    for table, column in (("tokens", "name"), ("credentials", "public_key")):
        assert await store.forget(table, 10, 9) == 0
        assert await store.forget(table, 21, 1) == 1
        assert await store.forget(table, 21, 9) == 1
        assert [row[0][1:] for row in sql(path, f"SELECT {column} FROM {table}")] == ["3"]
