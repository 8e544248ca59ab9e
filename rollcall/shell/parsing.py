"""Reads what was typed, by the table; None for what is not plainly right: the long way says what is wrong."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rollcall.cli.spans import minutes_until, parse_minutes, parse_time, written

Values = dict[str, Any]
_DIGITS_MAX: Final = 19


def parse(parameters: Sequence[Mapping[str, Any]], words: Sequence[str]) -> Values | None:
    """Return the values of a verb's parameters by name, those that were not given left out; or None."""
    flags = {flag: parameter for parameter in parameters for flag in parameter.get("flags", ())}
    places = [parameter for parameter in parameters if "flags" not in parameter]
    given, typed = _sorted(flags, words)
    if given is None or len(typed) > len(places):
        return None
    given += list(zip(places, typed, strict=False))
    values: Values = {}
    for parameter, text in given:
        found = _value(parameter, text)
        if found is None or (parameter["name"] in values and not parameter.get("many")):
            return None
        before = values.get(parameter["name"], [])
        values[parameter["name"]] = [*before, *found] if parameter.get("many") else found
    if any(parameter.get("required") and parameter["name"] not in values for parameter in parameters):
        return None
    return values


def _sorted(
    flags: Mapping[str, Mapping[str, Any]], words: Sequence[str]
) -> tuple[list[tuple[Mapping[str, Any], str | bool]] | None, list[str]]:
    """Tell options from arguments; None for what is neither."""
    given: list[tuple[Mapping[str, Any], str | bool]] = []
    typed: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            typed += rest
        elif not word.startswith("-") or word == "-":
            typed.append(word)
        else:
            flag, sign, text = word.partition("=")
            parameter = flags.get(flag)
            if parameter is None or (sign and not flag.startswith("--")):
                return None, []
            if parameter["kind"] == "flag":
                if sign:
                    return None, []
                given.append((parameter, not flag.startswith("--no-")))
                continue
            value = text if sign else next(rest, None)
            if value is None:
                return None, []
            given.append((parameter, value))
    return given, typed


def _value(parameter: Mapping[str, Any], said: Any) -> Any:
    """Return one value as it goes over the wire, or None; a flag is True or False."""
    if isinstance(said, bool):
        return said
    text = str(said)
    match parameter["kind"]:
        case "int":
            return _within(parameter, int(text)) if _is_number(text) else None
        case "float":
            whole, _, part = text.partition(".")
            return _within(parameter, float(text)) if _is_number(whole) and _is_number(part or "0") else None
        case "span":
            return None if (minutes := parse_minutes(text)) is None else _within(parameter, minutes)
        case "time":
            return None if (at := parse_time(text)) is None else at
        case "word":
            return parameter["words"].get(text)
        case "words":
            found = [_text(parameter, word.strip()) for word in text.split(",") if word.strip()]
            return None if None in found else found
        case _:
            return _text(parameter, text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX


def _within(parameter: Mapping[str, Any], number: float) -> float | None:
    low, high = parameter.get("min"), parameter.get("max")
    return number if (low is None or number >= low) and (high is None or number <= high) else None


def _text(parameter: Mapping[str, Any], text: str) -> str | None:
    low, high, pattern = parameter.get("min", 0), parameter.get("max"), parameter.get("pattern")
    if len(text) < low or (high is not None and len(text) > high):
        return None
    if (pattern and not re.search(pattern, text)) or any("\ud800" <= letter <= "\udfff" for letter in text):
        return None
    return text


def finished(verb: Mapping[str, Any], values: Values, scale: float) -> Values | None:
    """Return the parameters of the operation, from what its verb takes beside them; or None."""
    operation = verb["operation"]
    if operation == "assignment.snooze" and (until := values.pop("until", None)) is not None:
        minutes = minutes_until(until, datetime.now(UTC), scale)
        allowed = next(one for one in verb["parameters"] if one["name"] == "minutes")
        if "minutes" in values or _within(allowed, minutes) is None:
            return None
        values["minutes"] = minutes
    if operation == "assignment.wait":
        awaited = values.pop("awaited", None)
        if (awaited is None) is ("on" not in values):
            return None
        values["on"] = awaited or values["on"]
    return {name: written(value) if isinstance(value, datetime) else value for name, value in values.items()}
