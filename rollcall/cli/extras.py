"""What a few commands take beside the operation's own parameters."""

import difflib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, get_args

import click
import msgspec
from msgspec import Struct

from contracts import deliveries, tokens
from contracts.messages import TaskSpec
from contracts.operations import Operation
from contracts.records import WaitKind
from rollcall.cli import keys
from rollcall.cli.failures import UNAVAILABLE, USAGE, Failed
from rollcall.cli.kinds import FILE_BYTES_MAX, Span, Time, Word
from rollcall.cli.setting import Caller
from rollcall.cli.spans import minutes_until, written
from rollcall.cli.tree import array_of, object_of
from rollcall.cli.waiting import wait_for_next, wait_option

Parameters = list[click.Parameter]
Values = dict[str, Any]

_DRAWN: Final = "rollcall.drawn"


class Extra(Struct, frozen=True, kw_only=True):
    """How one command differs from what its operation says."""

    parameters: Callable[[Parameters], Parameters]
    values: Callable[[Values, Caller], Values] = lambda values, _caller: values
    run: Callable[..., None] | None = None


def _with_until(own: Parameters) -> Parameters:
    for parameter in own:
        if parameter.name == "minutes" and isinstance(parameter.type, click.IntRange):
            parameter.type = Span(parameter.type.min, parameter.type.max)
    return [*own, click.Option(["--until"], type=Time(), help="Until when, instead of minutes.")]


def _snooze(values: Values, caller: Caller) -> Values:
    until = values.pop("until")
    if until is None:
        return values
    if values["minutes"] is not None:
        raise Failed("MINUTES or --until, not both", USAGE)
    minutes = minutes_until(until, datetime.now(UTC), caller.settings.timers.scale)
    if minutes < 1:
        raise Failed(f"--until {written(until)} is not in the future", USAGE)
    return values | {"minutes": minutes}


def _with_for(own: Parameters) -> Parameters:
    for parameter in own:
        if parameter.name == "on":
            parameter.required = False
    words = Word([str(word).replace("_", "-") for word in get_args(WaitKind)])
    return [*own, click.Option(["--for", "awaited"], type=words, help="The same, as an option.")]


def _awaited(values: Values, _caller: Caller) -> Values:
    awaited = values.pop("awaited")
    if (awaited is None) is (values["on"] is None):
        raise Failed(f"--for {'|'.join(get_args(WaitKind))}: say one".replace("_", "-"), USAGE)
    return values | {"on": awaited or values["on"]}


def _optional_session(own: Parameters) -> Parameters:
    for parameter in own:
        if parameter.name == "session":
            parameter.required = False
    return own


def _from_file(own: Parameters) -> Parameters:
    file = click.Argument(
        ["file"], type=click.Path(allow_dash=True), help="JSON lines or JSON; - reads standard input."
    )
    return [file, *(parameter for parameter in own if parameter.name != "tasks")]


def _tasks(values: Values, _caller: Caller) -> Values:
    return values | {"tasks": read_tasks(values.pop("file"))}


def read_tasks(name: str) -> list[Any]:
    """Return the tasks in a file: JSON lines, a JSON list, or a JSON object with `tasks`."""
    data = _read(name)
    try:
        whole = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return [_task(name, number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]
    tasks = array_of(object_of(whole).get("tasks", whole))
    return [_known(f"{name}, task {number}", task) for number, task in enumerate(tasks, 1)]


def _read(name: str) -> bytes:
    try:
        with click.open_file(name, "rb") as stream:
            data: bytes = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Failed(f"{name}: {error.strerror}", USAGE) from error
    if len(data) > FILE_BYTES_MAX:
        raise Failed(f"{name}: more than {FILE_BYTES_MAX} bytes: use it in parts", USAGE)
    return data


def _task(name: str, number: int, line: bytes) -> Any:
    try:
        return _known(f"{name}, line {number}", msgspec.json.decode(line))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Failed(f"{name}, line {number}: not readable as JSON: {error}", USAGE) from error


def _known(where: str, task: Any) -> Any:
    """Return the task; a misspelt field must not be lost in silence."""
    names = [field.encode_name for field in msgspec.structs.fields(TaskSpec)]
    for name in object_of(task):
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            raise Failed(
                f"{where}: unknown field {name!r}{f'; did you mean {close[0]}?' if close else ''}", USAGE
            )
    return task


def _drawn_here(own: Parameters) -> Parameters:
    """Let what is drawn here not be asked for, and let it be put out of sight."""
    to = click.Option(
        ["--to", "to"],
        type=click.Path(dir_okay=False, path_type=Path),
        help="Put it into this new file, which only you can read, instead of showing it.",
    )
    return [*(parameter for parameter in own if parameter.name not in {"prefix", "digest", "key"}), to]


def _draw(values: Values, _caller: Caller) -> Values:
    """Draw the token: it is known to nobody but who reads the answer."""
    drawn = tokens.token(values["scope"], secrets.token_bytes(tokens.SECRET_BYTES))
    _hold("token", drawn, values.pop("to"))
    return values | {"prefix": tokens.prefix(drawn), "digest": tokens.digest(drawn)}


def _draw_key(values: Values, _caller: Caller) -> Values:
    """Draw the key: it goes to its keeper, and to who reads the answer."""
    drawn = deliveries.key_of(secrets.token_bytes(deliveries.KEY_BYTES))
    _hold("key", drawn, values.pop("to"))
    return values | {"key": drawn}


def _hold(kind: str, drawn: str, to: Path | None) -> None:
    if to is not None:
        keys.keep(to, drawn)
    click.get_current_context().meta[_DRAWN] = (kind, drawn, to)


def _draw_link(values: Values, _caller: Caller) -> Values:
    """Draw the code of a link, as a token is."""
    drawn = tokens.token("link", secrets.token_bytes(tokens.SECRET_BYTES))
    click.get_current_context().meta[_DRAWN] = drawn
    return values | {"prefix": tokens.prefix(drawn), "digest": tokens.digest(drawn)}


def _show_link(caller: Caller, operation: Operation, params: Struct) -> None:
    from rollcall.cli.answering import ask

    file = caller.settings.http_file
    if not file.exists():
        raise Failed("no gateway listens here: rollcall up, or rollcall run gateway", UNAVAILABLE)
    drawn = click.get_current_context().meta[_DRAWN]
    ask(caller, operation, params, {"link": tokens.link(file.read_text("utf-8").strip(), drawn)})


def _show_once(caller: Caller, operation: Operation, params: Struct) -> None:
    from rollcall.cli.answering import ask

    kind, drawn, to = click.get_current_context().meta[_DRAWN]
    try:
        ask(caller, operation, params, {} if to else {kind: drawn})
    except Failed:
        if to is not None:
            to.unlink()
        raise
    if to is None:
        click.echo("note: it is shown this once; --to FILE would have kept it out of sight", err=True)


def _rules_option(own: Parameters) -> Parameters:
    file = click.Option(
        ["--rules", "toml"],
        type=click.Path(allow_dash=True),
        help="A file of rules, instead of those that count.",
    )
    return [*(parameter for parameter in own if parameter.name != "toml"), file]


def _rules_file(own: Parameters) -> Parameters:
    file = click.Argument(["toml"], type=click.Path(allow_dash=True), help="TOML; - reads standard input.")
    return [file, *(parameter for parameter in own if parameter.name != "toml")]


def _rules(values: Values, _caller: Caller) -> Values:
    if values["toml"] is None:
        return values
    return values | {"toml": _read(values["toml"]).decode("utf-8", "replace")}


def _show_rules(caller: Caller, operation: Operation, params: Struct) -> None:
    """Show the rules as they were written: what is printed can be edited, and set again."""
    from rollcall.cli.answering import answer, told

    data = answer(caller, operation, params)
    if caller.form == "table":
        click.echo(msgspec.json.decode(data)["toml"], nl=False)
    else:
        told(caller, operation, params, data)


EXTRAS: Final = {
    "intake.try": Extra(parameters=_rules_option, values=_rules),
    "rule.set": Extra(parameters=_rules_file, values=_rules),
    "rule.show": Extra(parameters=lambda own: own, run=_show_rules),
    "assignment.snooze": Extra(parameters=_with_until, values=_snooze),
    "assignment.wait": Extra(parameters=_with_for, values=_awaited),
    "agent.join": Extra(parameters=_optional_session),
    "assignment.next": Extra(parameters=wait_option, run=wait_for_next),
    "task.import": Extra(parameters=_from_file, values=_tasks),
    "login.create": Extra(parameters=_drawn_here, values=_draw_link, run=_show_link),
    "agent.add": Extra(parameters=keys.new_agent, values=keys.draw_webhook_key, run=keys.add_agent),
    "credential.create": Extra(parameters=keys.with_file, values=keys.take_key, run=keys.create),
    "token.create": Extra(parameters=_drawn_here, values=_draw, run=_show_once),
    "webhook.rotate": Extra(parameters=_drawn_here, values=_draw_key, run=_show_once),
}
