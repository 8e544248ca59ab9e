"""Commands about the keys of this installation: identity rotate."""

import time
from typing import Any, Final

import click

from rollcall.cli.failures import CONFIG, USAGE, Failed
from rollcall.cli.house import plain_failures, settings_from, settings_options
from rollcall.cli.kinds import Span

KEEP_MINUTES_MAX: Final = 366 * 24 * 60
HOLDERS: Final = frozenset({"agent", "machine", "operator", "admin", "read_only"})


@click.group()
def identity() -> None:
    """Look after the keys that sign credentials."""


@identity.command()
@click.argument("roles", metavar="[ROLE]...", nargs=-1)
@click.option(
    "--keep",
    "keep_minutes",
    type=Span(0, KEEP_MINUTES_MAX),
    default="720h",
    help="How long what the old key signed counts on; 0: no longer.  [default: 720h, 30 days]",
)
@settings_options
def rotate(roles: tuple[str, ...], keep_minutes: int, **values: Any) -> None:
    """Let roles sign with new keys (all of them, unless some are named).

    Credentials that were given out before end with the old key: give their holders new ones until then.
    It runs where the keys are, beside `rollcall up` or while nothing runs.
    """
    settings = settings_from(values).settings
    import anyio

    from rollcall.wiring import authority

    with plain_failures():
        keys = authority(settings)
        if keys is None or not keys.ready:
            raise Failed(f"no keys in {settings.identity_dir}; they are where rollcall up runs", CONFIG)
        wanted = roles or tuple(keys.roles)
        if unknown := [role for role in wanted if role not in keys.roles]:
            raise Failed(f"{unknown[0]!r} is not one of {', '.join(keys.roles)}", USAGE)
        now_s = int(time.time())
        anyio.run(lambda: keys.rotate(wanted, now_s, until_s=now_s + keep_minutes * 60))
    click.echo(f"new keys: {', '.join(wanted)}")
    if HOLDERS & set(wanted):
        click.echo(
            "next: rollcall agent rotate NAME, or credential create NAME, for each in credential ls", err=True
        )
