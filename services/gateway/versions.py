"""`ETag` and `If-Match`: the version of what was read, so that no change undoes one that was not seen."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, Final, get_type_hints

import msgspec
from msgspec import Struct

from contracts.errors import ChangedError, InvalidError, VersionRequiredError
from contracts.operations import Operation
from contracts.operations.registry import AnyVersion, Edit, Route
from services.gateway.reading import Given

EXPECTED: Final = "expected_version"
_OURS: Final = re.compile(r'"(\d{1,18})"')
_TAGS: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"(?:\s*,\s*(?:W/)?"[\x21\x23-\x7e]*")*')


def is_edit(operation: Operation) -> bool:
    """Return whether an operation may name the version that it changes."""
    return issubclass(operation.params, Edit)


def expect(operation: Operation, route: Route, headers: Mapping[str, str], given: Given) -> None:
    """Put the version that the headers name among what is given; one version must be named to replace.

    Raises InvalidError, VersionRequiredError, and ChangedError for a version that cannot be.
    """
    if operation.query:
        return
    if_match, if_none_match = headers.get("if-match", ""), headers.get("if-none-match", "")
    found: int | AnyVersion | None = None
    if if_match:
        found = _version(operation, if_match)
    elif if_none_match:
        if if_none_match != "*" or not is_edit(operation):
            raise InvalidError("not here", fields={"If-None-Match": "* to make what is not there yet"})
        found = 0
    said = given.get(EXPECTED)
    if found is not None and said is not None and str(said) != str(found):
        raise InvalidError("two versions", fields={EXPECTED: "the header names another"})
    if found is not None:
        given[EXPECTED] = found
    elif said is None and route.method == "PUT" and is_edit(operation):
        raise VersionRequiredError("say If-Match with the ETag that was read, or If-None-Match: *")


def _version(operation: Operation, if_match: str) -> int | AnyVersion:
    if not is_edit(operation):
        raise InvalidError("nothing here has a version", fields={"If-Match": "is not understood here"})
    if if_match == "*":
        return "*"
    if ours := _OURS.fullmatch(if_match):
        return int(ours[1])
    if _TAGS.fullmatch(if_match):
        raise ChangedError("no version of ours is named so")
    raise InvalidError("one ETag, as it was read", fields={"If-Match": "is no ETag"})


def tagger(operation: Operation) -> Callable[[bytes], dict[str, str]]:
    """Return what finds the header that names the version of what an answer shows."""
    place = version_in(operation.result)
    if not place:
        return lambda _answer: {}
    kind: Any = int
    for name in reversed(place):
        kind = msgspec.defstruct("Versioned", [(name, kind)])
    decoder, take = msgspec.json.Decoder(kind), attrgetter(".".join(place))
    return lambda answer: {"etag": f'"{take(decoder.decode(answer))}"'}


@cache
def version_in(result: type[Struct]) -> tuple[str, ...]:
    """Return where in a result its version stands, or that of the one thing that it shows; () nowhere."""
    kinds = get_type_hints(result)
    if kinds.get("version") is int:
        return ("version",)
    parts = [name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Struct)]
    shown = [(name, "version") for name in parts if get_type_hints(kinds[name]).get("version") is int]
    return shown[0] if len(shown) == 1 else ()
