"""Finds the settings: defaults < rollcall.toml < ROLLCALL_* < flags; each value knows its origin."""

import difflib
import getpass
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from rollcall.settings import Settings
from rollcall.settings_inherited import Found, from_others, from_seed, variable
from rollcall.settings_keys import KEYS, SECTIONS, Key, hidden, masked, text
from rollcall.settings_values import parse_duration

FILE: Final = "rollcall.toml"
FILE_BYTES_MAX: Final = 256 * 1024
_PREFIX: Final = "ROLLCALL_"
_VARIABLES: Final = {variable(name): name for name in KEYS}
_OF_AGENTS: Final = {"ROLLCALL_CONFIG", "ROLLCALL_SESSION", "ROLLCALL_SOCKET"}
"""Variables that are no settings: where those are, and what the process of an agent is told of itself."""
_TOGETHER: Final = ("notify.", "webhooks.")  # what may be allowed one by one, and unusable together
_CLOSE: Final = 0.75  # how alike a name must be to be suggested


class ConfigError(Exception):
    """The configuration cannot be used; the message is one line that names what to change."""


class Loaded(Struct, frozen=True, kw_only=True):
    """The settings, where each value that is not a default came from, and what to tell the user."""

    settings: Settings
    origins: dict[str, str]
    warnings: tuple[str, ...] = ()


def load(
    path: Path | None = None,
    *,
    flags: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> Loaded:
    """Return the settings from all their sources, or raise ConfigError."""
    values: dict[str, tuple[Any, str]] = {}
    named = path or (Path(environ["ROLLCALL_CONFIG"]) if environ.get("ROLLCALL_CONFIG") else None)
    seed, warnings = from_seed(environ)
    sources = (
        from_file(named, folder or Path()),
        seed,
        from_others(environ),
        _from_environ(environ),
        _from_flags(flags or {}),
    )
    for source in sources:
        for key, value, origin in source:
            values[key] = (_converted(KEYS[key], value, origin), origin)
    settings = _resolved(_built(Settings, {key: value for key, (value, _) in values.items()}))
    if any(key.startswith(_TOGETHER) for key in values):
        _check(settings, {key: origin for key, (_, origin) in values.items()})
    return Loaded(
        settings=settings,
        origins={key: origin for key, (_, origin) in values.items()},
        warnings=tuple(warnings),
    )


def _check(settings: Settings, origins: Mapping[str, str]) -> None:
    from rollcall.settings_checks import wrong  # few set these, and every command reads settings

    for key, why in wrong(settings):
        raise ConfigError(f"{origins.get(key, 'default')}: {key}: {why}")


def shown(loaded: Loaded) -> list[tuple[str, str, str]]:
    """Return (key, value, origin) of everything, with secrets masked."""
    return [
        (key.name, text(key, _value(loaded.settings, key)), loaded.origins.get(key.name, "default"))
        for key in KEYS.values()
    ]


def from_file(path: Path | None, folder: Path) -> list[Found]:
    """Return what the file says; without a name, rollcall.toml of the folder if it is there."""
    if path is None:
        path = folder / FILE
        if not path.exists():
            return []
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: {size} bytes, the limit is {FILE_BYTES_MAX}")
        data = path.read_bytes()
        tree: object = msgspec.json.decode(data) if path.suffix == ".json" else tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # bad TOML, JSON or UTF-8
        raise ConfigError(f"{path}: cannot be understood: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: cannot be understood: an object is needed")
    sections = cast("dict[str, Any]", tree)
    return [(key, value, str(path)) for key, value in _flat(sections, "", str(path))]


def _flat(tree: dict[str, Any], prefix: str, origin: str) -> Iterator[tuple[str, Any]]:
    for word, value in tree.items():
        name = f"{prefix}{word}"
        if name in KEYS:
            yield name, value
        elif name in SECTIONS and isinstance(value, dict):
            yield from _flat(cast("dict[str, Any]", value), f"{name}.", origin)
        elif name in SECTIONS:
            raise ConfigError(f"{origin}: {name} is a section: write [{name}] and its keys below")
        else:
            raise ConfigError(f"{origin}: unknown key {name[:80]!r}{_meant(name, [*KEYS, *SECTIONS])}")


def _from_environ(environ: Mapping[str, str]) -> Iterator[Found]:
    for name in sorted(environ):
        if not name.startswith(_PREFIX) or name in _OF_AGENTS:
            continue
        if key := _VARIABLES.get(name):
            yield key, environ[name], name
        elif (key := _VARIABLES.get(name.removesuffix("_FILE"), "")) and KEYS[key].kind == "secret":
            yield key, _secret(name, Path(environ[name])), name
        else:
            raise ConfigError(f"unknown variable {name[:80]}{_meant(name, [*_VARIABLES, *_OF_AGENTS])}")


def _from_flags(flags: Mapping[str, str]) -> Iterator[Found]:
    for key, value in flags.items():
        if key not in KEYS:
            raise ConfigError(f"unknown key {key[:80]!r}{_meant(key, list(KEYS))}")
        if KEYS[key].kind == "secret" and hidden(value) != value:
            names = f"{variable(key)} or {variable(key)}_FILE"
            raise ConfigError(f"{key}: everybody on this machine can read a command line: use {names}")
        yield key, value, "flag"


def _secret(name: str, path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: {path} cannot be read: {type(error).__name__}") from error


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=_CLOSE)
    return f"; did you mean {close[0]}?" if close else "; `rollcall config show` lists all"


def _converted(key: Key, value: Any, origin: str) -> Any:
    try:
        return msgspec.convert(
            _counted(key, value), key.type, strict=not isinstance(value, str), dec_hook=_path
        )
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        said = hidden(str(value)) if key.kind == "secret" else masked(str(value))
        written = said.encode("unicode_escape").decode()[:120]  # it stays one line
        raise ConfigError(f"{origin}: {key.name} = {written!r} is not allowed: {key.form}") from error


def _counted(key: Key, value: Any) -> Any:
    """Return durations as microseconds, and everything else as it is."""
    match key.kind, value:
        case "duration", _:
            return _duration(value)
        case "names", str():
            return [name.strip() for name in value.split(",") if name.strip()]
        case "durations", str():
            return [_duration(part) for part in value.split(",")]
        case "durations", _:
            return [_duration(part) for part in value]
        case _:
            return value


def _duration(value: object) -> int:
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)  # 30 may mean minutes to one and seconds to another
    return parse_duration(value)


def _path(kind: type, value: Any) -> Any:
    if kind is not Path or not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(value)
    return Path(value).expanduser()


def _built(kind: type[Struct], values: Mapping[str, Any], prefix: str = "") -> Any:
    """Build the tree from dotted keys."""
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        name = f"{prefix}{field.encode_name}"
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            fields[field.name] = _built(field.type, values, f"{name}.")
        elif name in values:
            fields[field.name] = values[name]
    return kind(**fields)


def _resolved(settings: Settings) -> Settings:
    """Fill in what depends on the machine and its user."""
    return msgspec.structs.replace(
        settings,
        state_dir=settings.state_dir.expanduser().absolute(),
        operator=settings.operator or _user(),
    )


def _user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user: a container with a bare number
        user = ""
    return re.sub(r"[^A-Za-z0-9_-]", "-", user).lstrip("-_")[:63] or "operator"


def _value(settings: Settings, key: Key) -> Any:
    value: Any = settings
    for word in key.attribute.split("."):
        value = getattr(value, word)
    return value
