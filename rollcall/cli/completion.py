"""`rollcall completion`: what a shell needs to complete our words."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_ROLLCALL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print the completion script for a shell.

    \b
    bash:  eval "$(rollcall completion bash)"
    zsh:   eval "$(rollcall completion zsh)"
    fish:  rollcall completion fish | source
    """
    from rollcall.cli.root import root

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - the choice above lists what click has
    click.echo(kind(root, {}, "rollcall", VARIABLE).source())
