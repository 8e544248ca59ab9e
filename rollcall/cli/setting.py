"""What every command needs to know before it begins: who asks, where, and how to print."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import click
from msgspec import Struct

from rollcall.cli.failures import CONFIG, Failed
from rollcall.config import ConfigError, Loaded, load
from rollcall.settings import Settings
from rollcall.shell import places

TIMEOUT_S: Final = 5.0


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
        click.Option(
            ["--config", "config_path"], type=click.Path(path_type=Path), help="Settings from this file."
        ),
    ]


def caller_options(command: click.Command, scope: Literal["agent", "operator"]) -> click.Command:
    """Add what every asking command has; its callback gets a `caller`."""
    word = "AGENT" if scope == "agent" else "OPERATOR"
    whose = "Who you are" if scope == "agent" else "In whose name"
    command.params += [
        form_option(),
        click.Option([f"--{scope}", "speaker"], metavar="NAME", help=f"{whose}; else ROLLCALL_{word}."),
        *place_options(),
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
        **values: Any,
    ) -> Any:
        flags = {"nats.url": nats_url, scope: speaker}
        settings = loaded(
            config_path, {key: text for key, text in flags.items() if text is not None}
        ).settings
        name = settings.agent if scope == "agent" else settings.operator
        if not name:
            raise Failed("whose answer is this? set ROLLCALL_AGENT, or add --agent NAME", CONFIG)
        caller = Caller(settings=settings, name=name, form=form, timeout_s=timeout_s)
        return inner(caller=caller, **values) if inner else None

    command.callback = callback
    return command
