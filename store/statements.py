"""What a transaction asks of an engine.

The course of a transaction is a generator: it yields these, and is sent the rows or the number of rows
written, or is thrown a StatementError. So one course serves an engine that is called (SQLite) and one that is
awaited.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from store.errors import VersionConflictError
from store.sql import Query

T = TypeVar("T")


class Fetch(Struct, frozen=True):
    """Run a query once and send its rows."""

    query: Query
    params: tuple[Any, ...] = ()


class Write(Struct, frozen=True):
    """Run a statement for each row of parameters and send how many rows it touched."""

    query: Query
    rows: Sequence[tuple[Any, ...]]


class Mark(Struct, frozen=True):
    """Set, give up or return to the savepoint of this name."""

    act: Literal["set", "release", "back"]
    name: str


Course = Generator[Fetch | Write | Mark, Any, T]


def bound(query: Query, params: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the parameters in the order in which the query counts them."""
    return tuple(params[name] for name in query.params)


def listed(keys: Sequence[Any]) -> tuple[str]:
    """Return keys as the one JSON parameter of a load."""
    return (msgspec.json.encode(keys).decode(),)


def exactly(query: Query, rows: Sequence[tuple[Any, ...]]) -> Course[None]:
    """Write rows that must all be there at the versions their writers have seen."""
    touched = yield Write(query, rows)
    if touched != len(rows):
        raise VersionConflictError(
            f"{query.name}: {touched} of {len(rows)} rows were at the expected version"
        )
