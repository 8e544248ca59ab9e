"""docs/cli.md, from the tree of commands."""

from collections.abc import Iterator
from typing import Final

import click

from rollcall.cli.root import root

_SHARED: Final = {"form", "speaker", "nats_url", "creds_path", "config_path", "timeout_s", "pairs"}
_INTRODUCTION: Final = """\
# The command line

<!-- Written by `make generate`; edit the commands, not this page. -->

Data goes to standard output, everything else to standard error. `rollcall COMMAND --help` says the same as
this page.

## Agents

An agent says who it is with `ROLLCALL_AGENT`, and every answer to it ends with the command to run next. A
verb goes to the agent's socket, where there is one, and starts in some 50 ms: to `ROLLCALL_SOCKET`, which
also says who speaks, else to `agents/<name>.sock` in the state folder, where `rollcall up` keeps one for
each active agent. It goes over the bus itself where there is none, where a bus or credentials are named
that are not those of the house on this machine, and with `--nats-url`, `--creds`, `--config` or `--timeout`.
What is asked, printed and returned is the same.

`rollcall join` begins a session: the one in `ROLLCALL_SESSION`, else a new one that is kept beside the
socket. The verbs that follow speak in it, until `rollcall leave`; a newer `join` supersedes it. `rollcall
prime` tells a model that has forgotten who it is, what it holds and what to do next. A wait for work ends
within 50 s, with exit code 3 for "nothing yet".

Times are written as `2026-01-31T12:00:00Z`, or as `14:00` for the next time that the clock here shows that;
lengths of time as minutes, `30m` or `1h30m`.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | wrong use, or a value that is not allowed |
| 3 | nothing yet: the wait timed out |
| 4 | not allowed |
| 5 | conflict, or the lease is no longer yours |
| 6 | not found |
| 69 | the bus or a service cannot be reached; trying again is safe |
| 78 | the configuration cannot be used |
| 130 | interrupted |

## Options of every asking command

| option | meaning |
|---|---|
"""
_HOUSE: Final = (
    "\nCommands of the house take `--set KEY=VALUE` for any key of [the configuration](configuration.md).\n"
)
_WIDTH: Final = 100


def page() -> str:
    """Return the page."""
    context = click.Context(root, info_name="rollcall", terminal_width=_WIDTH)
    lines = [_INTRODUCTION + "\n".join(_shared(context)) + "\n" + _HOUSE]
    for heading, names in root.sections().items():
        lines.append(f"\n## {heading}\n")
        for name in names:
            command = root.get_command(context, name)
            if command:
                lines += _command(command, click.Context(command, parent=context, info_name=name))
    return "\n".join(lines) + "\n"


def _shared(context: click.Context) -> Iterator[str]:
    """Yield the rows of the options that agents' and operators' commands share."""
    seen: set[str] = set()
    for name in ("ack", "status"):
        command = root.get_command(context, name)
        for parameter in command.params if command else ():
            if parameter.name in _SHARED and parameter.opts[-1] not in seen:
                seen.add(parameter.opts[-1])
                yield _row(parameter, context)


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _command(inner, click.Context(inner, parent=context, info_name=name))
        return
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"### `{context.command_path}`\n\n{_text(command)}\n"
    yield f"    {context.command_path} {pieces}\n"
    rows = [_row(parameter, context) for parameter in command.params if _own(parameter)]
    if rows:
        yield "| parameter | meaning |\n|---|---|"
        yield from rows
        yield ""


def _own(parameter: click.Parameter) -> bool:
    return parameter.name not in _SHARED and not getattr(parameter, "hidden", False)


def _text(command: click.Command) -> str:
    head, _, rest = (command.help or "").partition("\n\n")
    block = rest.replace("\b\n", "").strip()
    return f"{head}\n\n```sh\n{block}\n```" if block else head


def _row(parameter: click.Parameter, context: click.Context) -> str:
    if isinstance(parameter, click.Option):
        record = parameter.get_help_record(context)
        name, text = record or ("", "")
    else:
        name, text = parameter.make_metavar(context), str(getattr(parameter, "help", ""))
    return f"| `{_cell(name)}` | {_cell(' '.join(text.split()))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
