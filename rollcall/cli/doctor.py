"""`rollcall doctor`: what is wrong, and the command that mends it."""

from typing import Any

import click
import msgspec

from rollcall.cli.failures import FAILED
from rollcall.cli.findings import lines
from rollcall.cli.house import plain_failures, settings_from, settings_options
from rollcall.cli.setting import form_option
from rollcall.cli.text import colorful, room


@click.command()
@settings_options
@click.pass_context
def doctor(ctx: click.Context, /, form: str, **values: Any) -> None:
    """Look for what is wrong, and say how to mend it; fails while there is an error.

    An error means that Rollcall does not keep its promises until it is mended, a warning that somebody
    should look.
    """
    settings = settings_from(values).settings
    from rollcall.doctor import doctor as look
    from rollcall.log import setup

    setup("error", settings.log.format)  # what is wrong is said below, once
    with plain_failures():
        found = look(settings)
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    elif form == "jsonl":
        for finding in found:
            click.echo(msgspec.json.encode(finding))
    else:
        for line in lines(msgspec.to_builtins(found), columns=room(), color=colorful()):
            click.echo(line)
    ctx.exit(FAILED if any(finding.severity == "error" for finding in found) else 0)


doctor.params.append(form_option())
