"""Commands that start and stop: up, down, run, demo."""

import pkgutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from rollcall.cli.failures import CONFIG, FAILED, UNAVAILABLE, Failed
from rollcall.cli.setting import loaded, place_flags, place_options
from rollcall.config import ConfigError, Loaded
from rollcall.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


class Pair(click.ParamType[tuple[str, str]]):
    """KEY=VALUE."""

    name = "pair"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the key and the value."""
        key, sign, rest = str(value).partition("=")
        if not sign:
            self.fail(f"{value!r} is not KEY=VALUE, such as timers.warn=10m", param, ctx)
        return key, rest


class Service(click.ParamType[str]):
    """The name of a service: what lies in `services/`."""

    name = "service"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or fail with the names there are."""
        if value not in names():
            self.fail(f"{value!r} is not one of {', '.join(names())}", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so."""
        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]


def names() -> list[str]:
    """Return the services that can run, without importing them."""
    import services

    return sorted(module.name for module in pkgutil.iter_modules(services.__path__) if module.name[0] != "_")


def settings_options(function: F) -> F:
    """Add `--set` and where the bus is; the callback gets `settings`, made by `settings_from`."""
    pair = click.Option(
        ["--set", "pairs"],
        type=Pair(),
        multiple=True,
        metavar="KEY=VALUE",
        help="One setting; the option again for each.",
    )
    for option in [*place_options()[::-1], pair]:
        known: list[click.Parameter] = function.__dict__.setdefault("__click_params__", [])
        known.append(option)
    return function


def settings_from(values: dict[str, Any]) -> Loaded:
    """Take the options of `settings_options` out of `values` and return the settings."""
    flags = dict(values.pop("pairs"))
    flags |= place_flags(values.pop("nats_url"), values.pop("creds_path"))
    return loaded(values.pop("config_path"), flags)


@contextmanager
def plain_failures() -> Generator[None]:
    """End the command with one line and the right code."""
    from bus.api import BusUnavailable
    from contracts.errors import RollcallError
    from store.errors import StoreError

    try:
        yield
    except ConfigError as error:
        raise Failed(str(error), CONFIG) from error
    except StoreError as error:
        raise Failed(str(error), CONFIG) from error
    except BusUnavailable as error:
        raise Failed(str(error), UNAVAILABLE, hint="rollcall doctor") from error
    except RollcallError as error:
        raise Failed(str(error), FAILED, hint="rollcall doctor") from error
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        raise Failed(f"{name}{error.strerror or error}", FAILED) from error


def _logged(settings: Settings) -> None:
    from rollcall.log import setup

    setup(settings.log.level, settings.log.format)


@click.command()
@click.option("--open", "nats_open", is_flag=True, help="Let everybody in; for what is thrown away.")
@settings_options
@click.pass_context
def up(ctx: click.Context, /, *, nats_open: bool, **values: Any) -> None:
    """Start the bus and all services, in this process."""
    if nats_open:
        values["pairs"] = (*values["pairs"], ("nats.open", "true"))
    settings = settings_from(values).settings
    from rollcall.up import up as start

    _logged(settings)
    with plain_failures():
        ctx.exit(start(settings))


@click.command()
@settings_options
@click.pass_context
def down(ctx: click.Context, /, **values: Any) -> None:
    """Stop what `up` started."""
    settings = settings_from(values).settings
    from rollcall.up import down as stop

    with plain_failures():
        ctx.exit(stop(settings))


@click.command()
@click.argument("service", type=Service())
@settings_options
@click.pass_context
def run(ctx: click.Context, /, service: str, **values: Any) -> None:
    """Run one service alone, on the bus and store of the others."""
    settings = settings_from(values).settings
    from rollcall.run import run as start

    _logged(settings)
    with plain_failures():
        ctx.exit(start(service, settings))


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="daemon.toml")
@settings_options
@click.pass_context
def daemon(ctx: click.Context, /, file: Path, **values: Any) -> None:
    """Run and keep the agents of this machine that FILE names (daemon.toml)."""
    settings = settings_from(values).settings
    from rollcall.daemon.house import daemon as start

    _logged(settings)
    with plain_failures():
        ctx.exit(start(settings, file))


@click.command()
@click.option("--seconds", type=click.FloatRange(1, 3_600), default=60.0, help="How long.  [default: 60]")
@click.option("--plant", metavar="FAULT", help="Plant a fault that the checker must find.")
@settings_options
@click.pass_context
def demo(ctx: click.Context, /, seconds: float, plant: str | None, **values: Any) -> None:
    """Show a fleet at work for a minute: pings, acks, silence, escalation."""
    settings = settings_from(values).settings
    from rollcall.demo import main

    with plain_failures():
        ctx.exit(main(settings, seconds=seconds, plant=plant))
