"""Credentials at the command line: a key is drawn here, and kept in a file that only its owner can read."""

import os
import secrets
import uuid
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from msgspec import Struct

from contracts.credentials import Holder
from contracts.deliveries import KEY_BYTES, key_of
from contracts.operations import BY_NAME, Operation
from contracts.operations.credentials import CreateParams, CreateResult
from rollcall.address import bus_url
from rollcall.cli.answering import answer, told
from rollcall.cli.failures import USAGE, Failed, Refused
from rollcall.cli.setting import Caller
from rollcall.credentials import creds_file, inbox_of
from rollcall.settings import Settings

Parameters = list[click.Parameter]
Values = dict[str, Any]

ROTATE_MINUTES: Final = 10
_FILE: Final = "rollcall.creds"
_KEY: Final = "rollcall.key"
_WEBHOOK: Final = "rollcall.webhook"


def with_file(own: Parameters) -> Parameters:
    """Return the parameters without the key, which is drawn here, and with the place of the file."""
    return place_option([parameter for parameter in own if parameter.name != "public_key"])


def place_option(own: Parameters) -> Parameters:
    """Return the parameters with the place of the file."""
    place = click.Path(path_type=Path, dir_okay=False)
    return [*own, click.Option(["--creds"], type=place, help="Where to; else in the state folder.")]


def new_agent(own: Parameters) -> Parameters:
    """Return the parameters of a new agent: the key of its webhooks is drawn here, never said."""
    to = click.Option(
        ["--webhook-key-to", "webhook_key_to"],
        type=click.Path(dir_okay=False, path_type=Path),
        help="Put the key that signs pings to --endpoint-url into this new file, instead of showing it.",
    )
    return [*place_option([one for one in own if one.name != "webhook_key"]), to]


def draw_webhook_key(values: Values, caller: Caller) -> Values:
    """Draw the key for an agent that is told at an address, and keep where its credentials go."""
    to = values.pop("webhook_key_to")
    values = take_file(values, caller)
    if values["endpoint_url"] is None:
        return values
    key = key_of(secrets.token_bytes(KEY_BYTES))
    if to is not None:
        keep(to, key)
    click.get_current_context().meta[_WEBHOOK] = (key, to)
    return values | {"webhook_key": key}


def keep(path: Path, drawn: str) -> None:
    """Write a secret before it counts: what could not be kept would let in nobody, and stand in the list."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{drawn}\n")
    except FileExistsError as error:
        raise Failed(f"{path} is there already; name a new file, or remove it", USAGE) from error
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror}", USAGE) from error


def take_file(values: Values, _caller: Caller) -> Values:
    """Keep where the credentials go."""
    click.get_current_context().meta[_FILE] = values.pop("creds")
    return values


def take_key(values: Values, caller: Caller) -> Values:
    """Keep where the credentials go, and draw a key that only this process knows."""
    from bus.identity.keys import Key

    key = click.get_current_context().meta[_KEY] = Key.new("user")
    return take_file(values, caller) | {"public_key": key.public}


def replace_key(values: Values, caller: Caller) -> Values:
    """Do the same; the credentials of before count for a while yet."""
    values = take_key(values, caller)
    minutes = values["keep_minutes"]
    return values | {"keep_minutes": ROTATE_MINUTES if minutes is None else minutes}


def create(caller: Caller, operation: Operation, params: Struct) -> None:
    """Ask for credentials, keep them, and say how they are used."""
    made, path = _admitted(caller, msgspec.convert(msgspec.to_builtins(params), CreateParams))
    shown = {"name": made.name, "holder": made.holder, "expires_at": made.expires_at, "creds": str(path)}
    told(caller, operation, params, msgspec.json.encode(shown))
    _tell_how(caller, made.holder, made.name, path)


def add_agent(caller: Caller, operation: Operation, params: Struct) -> None:
    """Register an agent, unless it is known and nothing else is said of it, and give it credentials."""
    from bus.identity.keys import Key

    name = str(getattr(params, "name", ""))
    key, kept = click.get_current_context().meta.get(_WEBHOOK, ("", None))
    shown_once = {"webhook_key": key} if key and kept is None else {}
    plain = {"command_id", "name"} >= msgspec.to_builtins(params).keys()
    secured = caller.settings.identity_dir.exists() or caller.settings.nats.creds is not None
    try:
        data = answer(caller, operation, params)
    except Refused as error:
        if kept is not None:
            kept.unlink()
        known = (error.problem.state or {}).get("agent")
        if not (secured and plain and known):
            raise
        name = str(known)
        data = msgspec.json.encode({"name": name})
    data = msgspec.json.encode(msgspec.json.decode(data) | shown_once)
    if shown_once:
        hint = "webhook_key is shown this once; --webhook-key-to FILE would have kept it out of sight"
        click.echo(f"note: {hint}", err=True)
    if not secured:
        told(caller, operation, params, data)
        return
    drawn = click.get_current_context().meta[_KEY] = Key.new("user")
    wanted = CreateParams(name=name, public_key=drawn.public, command_id=str(uuid.uuid4()))
    made, path = _admitted(caller, wanted)
    shown = msgspec.json.decode(data) | {"creds": str(path)}
    told(caller, operation, params, msgspec.json.encode(shown))
    _tell_how(caller, "agent", made.name, path)


def _admitted(caller: Caller, params: CreateParams) -> tuple[CreateResult, Path]:
    """Return what was created, and the file in which it is."""
    from bus.identity import jwt
    from bus.private import private, private_folder

    meta = click.get_current_context().meta
    data = answer(caller, BY_NAME["credential.create"], params)
    made = msgspec.json.decode(data, type=CreateResult)
    path: Path = meta[_FILE] or kept_at(caller.settings, params.holder, made.name)
    if meta[_FILE] is None:
        private_folder(path.parent)
    private(path, jwt.credentials(made.token, meta[_KEY].seed))
    return made, path


def kept_at(settings: Settings, holder: Holder, name: str) -> Path:
    """Return where credentials are kept unless another file is named."""
    if holder == "agent" or holder == "machine":  # noqa: PLR1714 - the type checkers follow only this
        return creds_file(settings, holder, name)
    return settings.state_dir / "creds" / "operators" / f"{name}.creds"


def _tell_how(caller: Caller, holder: str, name: str, path: Path) -> None:
    if caller.form != "table" or holder != "agent":
        return
    url = bus_url(caller.settings) or "nats://127.0.0.1:4222"
    root, inbox = caller.settings.root, inbox_of("agent", name)
    for line in (
        "",
        "bash        # with the commands of github.com/nats-io/natscli",
        f"  export NATS_URL={url} NATS_CREDS={path}",
        f"  nats --inbox-prefix {inbox} sub '{root}.ping.{name}.*'",
        f"  nats --inbox-prefix {inbox} req {root}.cmd.agent.{name}.next '{{}}'",
        "python",
        f'  async with Agent("{name}", url="{url}", creds="{path}") as me: ...',
        "javascript  # with @nats-io/transport-node",
        f'  connect({{ servers: "{url}", inboxPrefix: "{inbox}",',
        f'    authenticator: credsAuthenticator(readFileSync("{path}")) }})',
    ):
        click.echo(line)
