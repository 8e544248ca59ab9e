"""Commands about the keys of this installation: replaced, for a server elsewhere, for services elsewhere."""

import time
from pathlib import Path
from typing import Any, Final

import click

from rollcall.cli.failures import CONFIG, USAGE, Failed
from rollcall.cli.house import Service, plain_failures, settings_from, settings_options
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


@identity.command()
@click.argument("url")
@click.option("--folder", default="accounts", help="Where that server keeps accounts.  [default: accounts]")
@settings_options
def server(url: str, folder: str, **values: Any) -> None:
    """Print what a nats-server of your own, at URL, has to be told so that these keys count there.

    Nothing in it is secret. From then on services and commands beside the keys sign in there by themselves
    when nats.url is URL.
    """
    values["nats_url"] = url
    settings = settings_from(values).settings
    from bus.private import private
    from rollcall.address import server_file
    from rollcall.wiring import secured

    with plain_failures():
        lines = secured(settings).config_elsewhere(folder)
        private(server_file(settings), settings.nats.url)
    click.echo("\n".join(lines))


@identity.command()
@click.argument("service", type=Service())
@click.option(
    "--to", type=click.Path(path_type=Path, dir_okay=False), help="The file.  [default: SERVICE.creds]"
)
@click.option(
    "--days", type=click.IntRange(1, 3_650), default=365, help="How long they count.  [default: 365]"
)
@settings_options
def creds(service: str, to: Path | None, days: int, **values: Any) -> None:
    """Write credentials with which SERVICE runs where the keys are not (rollcall run SERVICE).

    They are signed here, and stand in no list: rollcall identity rotate SERVICE --keep 0 ends them.
    """
    settings = settings_from(values).settings
    from bus.identity import jwt
    from bus.identity.keyring import Keyring
    from bus.identity.keys import Key
    from bus.private import private

    keyring, key = Keyring(settings.identity_dir), Key.new("user")
    path = to or Path(f"{service}.creds")
    with plain_failures():
        if not keyring.made:
            raise Failed(f"no keys in {settings.identity_dir}; they are where rollcall up runs", CONFIG)
        until_s = int(time.time()) + days * 86_400
        token = keyring.user(service, "core", service, key.public, expires_s=until_s)
        private(path, jwt.credentials(token, key.seed))
    click.echo(str(path))
    click.echo(f"next: ROLLCALL_NATS__CREDS={path} rollcall run {service}, there", err=True)
