"""What every command needs to know before it begins: who asks, where, and how to print."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import click
from msgspec import Struct, structs

from rollcall.cli.failures import CONFIG, Failed
from rollcall.config import ConfigError, Loaded, load
from rollcall.credentials import bearer, seen_by_others
from rollcall.settings import Settings
from rollcall.shell import places

TIMEOUT_S: Final = 5.0
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks, where, and how the answer is printed."""

    settings: Settings
    name: str
    form: str
    timeout_s: float

    @property
    def session_path(self) -> str:
        """Where the session of the agent is kept."""
        folder = places.folder_of(self.name, os.environ, str(self.settings.doors_dir))
        return places.session_path(folder, self.name)


def loaded(config: Path | None, flags: dict[str, str]) -> Loaded:
    """Return the settings; warnings go to standard error, a wrong one ends the command."""
    context = click.get_current_context(silent=True)
    root = context.find_root().obj if context else None
    try:
        found = load(config or (root if isinstance(root, Path) else None), flags=flags)
    except ConfigError as error:
        raise Failed(str(error), CONFIG) from error
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    return found


def form_option() -> click.Option:
    """Return `-o`."""
    return click.Option(
        ["-o", "--output", "form"],
        type=click.Choice(["table", "json", "jsonl"]),
        default="table",
        help="How to print the answer.  [default: table]",
    )


def place_options() -> list[click.Option]:
    """Return the options that say where the bus is."""
    return [
        click.Option(["--nats-url"], metavar="URL", help="Address of the bus."),
        click.Option(["--creds", "creds_path"], type=_FILE, help="Your credentials for the bus."),
        click.Option(
            ["--config", "config_path"], type=click.Path(path_type=Path), help="Settings from this file."
        ),
    ]


def place_flags(nats_url: str | None, creds_path: Path | None) -> dict[str, str]:
    """Return what the options of `place_options` set."""
    given = {"nats.url": nats_url, "nats.creds": creds_path}
    return {key: str(value) for key, value in given.items() if value is not None}


def asking(config: Path | None, flags: dict[str, str]) -> Settings:
    """Return the settings of somebody who asks: where nobody is named, the credentials say who it is.

    A file of credentials that others may read is warned of; one that holds none ends the command.
    """
    found = loaded(config, flags)
    settings = found.settings
    if settings.nats.creds is None:
        return settings
    path = settings.nats.creds.expanduser()
    try:
        name = bearer(path)
        if seen_by_others(path):
            click.echo(f"warning: others may read {path}, and be you with it: chmod 600 {path}", err=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Failed(f"credentials in {path}: {reason}", CONFIG) from error
    named = {key: name for key in ("operator", "agent") if name and key not in found.origins}
    return structs.replace(settings, **named)


def caller_options(command: click.Command, scope: Literal["agent", "operator"]) -> click.Command:
    """Add what every asking command has; its callback gets a `caller`."""
    word = "AGENT" if scope == "agent" else "OPERATOR"
    whose = "Who you are" if scope == "agent" else "In whose name"
    command.params += [
        form_option(),
        click.Option([f"--{scope}", "speaker"], metavar="NAME", help=f"{whose}; else ROLLCALL_{word}."),
        *(option for option in place_options() if not _has(command, option)),
        click.Option(
            ["--timeout", "timeout_s"],
            type=click.FloatRange(0.01, 600),
            default=TIMEOUT_S,
            help="Seconds to wait for an answer, three times.  [default: 5]",
        ),
    ]
    inner: Callable[..., Any] | None = command.callback

    def callback(
        *,
        form: str,
        speaker: str | None,
        nats_url: str | None,
        config_path: Path | None,
        timeout_s: float,
        creds_path: Path | None = None,
        **values: Any,
    ) -> Any:
        flags = place_flags(nats_url, creds_path) | ({} if speaker is None else {scope: speaker})
        settings = asking(config_path, flags)
        name = settings.agent if scope == "agent" else settings.operator
        if not name:
            raise Failed("whose answer is this? set ROLLCALL_AGENT, or add --agent NAME", CONFIG)
        caller = Caller(settings=settings, name=name, form=form, timeout_s=timeout_s)
        return inner(caller=caller, **values) if inner else None

    command.callback = callback
    return command


def _has(command: click.Command, option: click.Option) -> bool:
    """Whether a command has such an option already: where it writes credentials, `--creds` says where to."""
    return any(set(option.opts) & set(known.opts) for known in command.params)
