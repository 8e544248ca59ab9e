"""Rules as people write them: TOML, checked, with a word about what was probably meant."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from contracts.errors import InvalidError
from contracts.intake import (
    PHRASES_MAX,
    RULES_BYTES_MAX,
    RULES_MAX,
    WINDOW_MINUTES_MAX,
    Priority,
    Rule,
    Same,
    Sort,
    Start,
    Then,
)
from contracts.limits import CAPABILITIES_MAX, NAME_PATTERN, PROJECT_CHARS_MAX
from domain.intake.phrases import Phrases

_TOP: Final = ("rule", "actions")
DOTS_MAX: Final = 64  # the reader of TOML takes seconds for a key of ten thousand parts
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "then": get_args(Then),
    "priority": get_args(Priority),
    "start": get_args(Start),
    "same": get_args(Same),
}
_WORD_CHARS: Final = 40
SORTS: Final = tuple(f"{sort}s" for sort in get_args(Sort))
_LENGTH: Final = re.compile(r"(\d{1,6})(m|h|d)")
_MINUTES: Final = {"m": 1, "h": 60, "d": 1_440}
_COUNT_MAX: Final = 1_000
_WHY_CHARS_MAX: Final = 200


class Book(Struct, frozen=True):
    """A rulebook, ready to be used."""

    rules: tuple[Rule, ...]
    phrases: Phrases
    actions: Phrases


@lru_cache(maxsize=4)
def read(text: str) -> Book:
    """Return the rules that a TOML text says; raises InvalidError, which names the place and the remedy."""
    if len(text.encode("utf-8", "replace")) > RULES_BYTES_MAX:
        raise _wrong("toml", f"too long: more than {RULES_BYTES_MAX} bytes")
    if any(line.count(".") - 2 * line.count("..") > DOTS_MAX for line in text.split("\n")):
        raise _wrong("toml", f"a line with more than {DOTS_MAX} dots: no rule needs so many")
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong("toml", f"not readable as TOML: {error}") from error
    _known(tree, _TOP, "")
    rules = tuple(_rules(tree.get("rule", [])))
    actions = _converted(tree.get("actions", []), tuple[str, ...], "actions")
    named = [phrase for rule in rules for phrase in (*rule.any, *rule.all, *rule.none)]
    if len(named) + len(actions) > PHRASES_MAX:
        raise _wrong("rule", f"{len(named) + len(actions)} phrases, the limit is {PHRASES_MAX}")
    return Book(rules, Phrases(named), Phrases(actions))


def minutes(length: str) -> int:
    """Return the minutes of `30m`, `4h` or `2d`; raises ValueError."""
    found = _LENGTH.fullmatch(length)
    if found is None:
        raise ValueError(f'{length!r} is no length of time such as "30m", "4h" or "2d"')
    return int(found[1]) * _MINUTES[found[2]]


def _rules(value: Any) -> Iterable[Rule]:
    try:
        tables = msgspec.convert(value, list[dict[str, Any]])
    except msgspec.ValidationError as error:
        raise _wrong("rule", f"rules are written as [[rule]]: {error}") from error
    if len(tables) > RULES_MAX:
        raise _wrong("rule", f"{len(tables)} rules, the limit is {RULES_MAX}")
    seen: set[str] = set()
    for number, table in enumerate(tables):
        where = f"rule[{_named(table, number)}]"
        _chosen(table, where)
        _known(table, Rule.__struct_fields__, where)
        rule = _converted(table, Rule, where)
        _check(rule, where)
        if rule.name in seen:
            raise _wrong(f"{where}.name", f"there are two rules {rule.name}")
        seen.add(rule.name)
        yield rule


def _named(table: Mapping[str, Any], number: int) -> str:
    """Return how a rule is called: by its name, where it has one."""
    name = table.get("name")
    return name if isinstance(name, str) and re.match(NAME_PATTERN, name) else str(number)


def _chosen(table: Mapping[str, Any], where: str) -> None:
    """Refuse a word that is none of the few there are; words that are misspelt are told what was meant."""
    for field, choices in _CHOICES.items():
        said = table.get(field, choices[0])
        if isinstance(said, str) and said not in choices:
            raise _wrong(
                f"{where}.{field}",
                f"{said[:_WORD_CHARS]!r} is none of {', '.join(choices)}{_meant(said, choices)}",
            )


def _check(rule: Rule, where: str) -> None:
    """Refuse what the types allow and nobody can mean."""
    for sender in rule.senders:
        if (sorts := f"{sender.lower()}s") in SORTS:
            raise _wrong(f"{where}.senders", f"{sender!r} is no name; did you mean {sorts}?")
    for field, names in {
        "name": (rule.name,),
        "capabilities": rule.capabilities,
        "senders": rule.senders,
        "channels": rule.channels,
    }.items():
        for name in names:
            if not re.match(NAME_PATTERN, name):
                raise _wrong(f"{where}.{field}", f"{name!r}: 1 to 63 letters, digits, _ or -")
    for field, value, most in (
        ("capabilities", len(rule.capabilities), CAPABILITIES_MAX),
        ("project", len(rule.project), PROJECT_CHARS_MAX),
        ("why", len(rule.why), _WHY_CHARS_MAX),
        ("actions", rule.actions or 0, _COUNT_MAX),
        ("minutes", rule.minutes or 0, WINDOW_MINUTES_MAX),
    ):
        if not 0 <= value <= most:
            raise _wrong(f"{where}.{field}", f"at most {most}")
    for field, length in {"due": rule.due, "window": rule.window}.items():
        if length or field == "window":
            _check_length(f"{where}.{field}", length)
    for field in ("any", "all", "none"):
        try:
            Phrases(getattr(rule, field))
        except InvalidError as error:
            raise _wrong(f"{where}.{field}", error.detail) from error


def _check_length(where: str, length: str) -> None:
    try:
        found = minutes(length)
    except ValueError as error:
        raise _wrong(where, str(error)) from error
    if not 1 <= found <= WINDOW_MINUTES_MAX:
        raise _wrong(where, f"{length!r}: 1 minute to {WINDOW_MINUTES_MAX // 1_440} days")


def _known(table: Mapping[str, Any], names: Iterable[str], where: str) -> None:
    """Refuse a key that is none: what is misspelt must not be lost in silence."""
    known = list(names)
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise _wrong(f"{where}.{key}" if where else key, f"unknown key {key!r}; {meant}")


def _converted(value: Any, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _wrong(where, str(error)) from error


def _meant(said: str, choices: Sequence[str]) -> str:
    """Return the word that was probably meant where one of a few is asked for."""
    alike = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(said[:_WORD_CHARS].lower(), alike, n=1)
    return f"; did you mean {alike[close[0]]}?" if close else ""


def _wrong(where: str, what: str) -> InvalidError:
    return InvalidError(f"{where}: {what}", fields={where: what})
