"""Named queries and migrations, written once for both engines.

A query begins with `-- name: x -> Record` (the record of its rows) or `-- name: x <- Record` (the record
that gives its parameters) and a line that says why it is there. `{columns}`, `{values}` and `{changes}` stand
for the record's fields, `{t.columns}` for those of a table's alias; `{changes but a, b}` leaves some out. The
hints `/*sqlite: … */` and `/*pg: … */` open for one engine only.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

from msgspec import Struct, structs

from contracts import (
    attention,
    credentials,
    deliveries,
    intake,
    lists,
    notifying,
    plans,
    records,
    reminders,
    tokens,
    work,
)
from store import rows
from store.errors import StatementError

Engine = Literal["sqlite", "pg"]

_NAME = re.compile(r"^-- name: (\w+)(?: (->|<-) (\w+))?\n", re.MULTILINE)
_FIELDS = re.compile(r"\{(?:(\w+)\.)?(columns|values|changes)(?: but ([\w, ]+))?\}")
_CHANGES = re.compile(r"\{changes(?: but ([\w, ]+))?\}")
_HINT = re.compile(r"/\*(sqlite|pg): (.*?) \*/", re.DOTALL)
_PARAM = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)
_WHY = re.compile(r"-- (.+)\n")


class Query(Struct, frozen=True, kw_only=True):
    """A statement, ready for one engine; `params` are in the order of their numbers."""

    name: str
    text: str
    params: tuple[str, ...]
    why: str
    record: type[Struct] | None = None  # of its rows
    source: type[Struct] | None = None  # of its parameters
    changes: tuple[str, ...] = ()  # the columns that `{changes}` stands for
    template: str = ""  # of what has `{changes}`: the text with that still open
    engine: Engine = "sqlite"


class Migration(Struct, frozen=True, kw_only=True):
    """One step forward of the schema."""

    number: int
    name: str
    text: str
    checksum: str


def open_hints(text: str, engine: Engine) -> str:
    """Open the hints of one engine and drop those of the other."""
    return _HINT.sub(lambda hint: hint[2] if hint[1] == engine else "", text)


def parse(source: str, engine: Engine) -> Iterator[Query]:
    """Yield the queries of one file."""
    parts = _NAME.split(source)[1:]
    for name, arrow, kind, body in zip(*(parts[place::4] for place in range(4)), strict=True):
        yield _query(name, arrow, kind, body, engine)


def _query(name: str, arrow: str | None, kind: str | None, body: str, engine: Engine) -> Query:
    why = _WHY.match(body)
    if why is None:
        raise ValueError(f"query {name} does not say why it is there")
    record = None if kind is None else _record(kind)
    template = _COMMENT.sub("", open_hints(body, engine)).strip().removesuffix(";")
    changed = _CHANGES.search(template)
    text, params = _numbered(_FIELDS.sub(lambda found: _fields(found, record), template), engine)
    return Query(
        name=name,
        text=text,
        params=params,
        why=why[1],
        record=record if arrow == "->" else None,
        source=record if arrow == "<-" else None,
        changes=() if changed is None else _names(record, changed[1]),
        template="" if changed is None else template,
        engine=engine,
    )


def narrowed(query: Query, columns: Sequence[str]) -> Query:
    """Return an updating query that sets only these of its columns: an index of the others is not touched.

    Raises StatementError when one of them is none that the query ever sets.
    """
    strange = set(columns) - set(query.changes)
    if strange:
        raise StatementError(f"{query.name} never changes {', '.join(sorted(strange))}")
    settings = ", ".join(f"{name} = :{name}" for name in columns)
    text, params = _numbered(_CHANGES.sub(settings, query.template), query.engine)
    return structs.replace(query, text=text, params=params, changes=tuple(columns))


def _numbered(text: str, engine: Engine) -> tuple[str, tuple[str, ...]]:
    """Return the text with numbers for the names of its parameters, and these in their order."""
    params = tuple(dict.fromkeys(_PARAM.findall(text)))
    sign = "?" if engine == "sqlite" else "$"
    return _PARAM.sub(lambda param: f"{sign}{params.index(param[1]) + 1}", text), params


_ROOMS = (
    *(records, work, tokens, credentials, plans, reminders),
    *(lists, intake, notifying, attention, deliveries, rows),
)


def _record(name: str) -> type[Struct]:
    for room in _ROOMS:
        found: type[Struct] | None = getattr(room, name, None)
        if found is not None:
            return found
    raise ValueError(f"there is no record {name}")


def _fields(found: re.Match[str], record: type[Struct] | None) -> str:
    if record is None:
        raise ValueError(f"{found[0]} needs a record")
    names = _names(record, found[3])
    match found[2]:
        case "columns":
            return ", ".join(f"{found[1]}.{name}" if found[1] else name for name in names)
        case "values":
            return ", ".join(f":{name}" for name in names)
        case _:
            return ", ".join(f"{name} = :{name}" for name in names)


def _names(record: type[Struct] | None, left_out: str | None) -> tuple[str, ...]:
    return tuple(name for name in rows.columns(record or Struct) if name not in (left_out or "").split(", "))


@cache
def queries(engine: Engine) -> Mapping[str, Query]:
    """Return every query by its name."""
    found: dict[str, Query] = {}
    for file in _sql_files("queries"):
        for query in parse(file.read_text("utf-8"), engine):
            if query.name in found:
                raise ValueError(f"two queries are named {query.name}")
            found[query.name] = query
    return found


@cache
def migrations() -> tuple[Migration, ...]:
    """Return the steps of the schema in their order."""
    return tuple(
        Migration(
            number=int(file.name[:4]),
            name=file.name.removesuffix(".sql"),
            text=file.read_text("utf-8"),
            checksum=hashlib.sha256(file.read_bytes()).hexdigest(),
        )
        for file in _sql_files("migrations")
    )


def schema() -> str:
    """Return the whole schema as one text."""
    return "\n".join(file.read_text("utf-8") for file in _sql_files("schema"))


def _sql_files(folder: str) -> list[Traversable]:
    found = (file for file in (files("store") / folder).iterdir() if file.name.endswith(".sql"))
    return sorted(found, key=lambda file: file.name)
