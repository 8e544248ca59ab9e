"""The tree of commands; what a command needs is imported when that command is called."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

HOUSE: Final = {
    "up": "house",
    "down": "house",
    "run": "house",
    "daemon": "house",
    "demo": "house",
    "doctor": "doctor",
    "backup": "maintenance",
    "restore": "maintenance",
    "config": "maintenance",
    "identity": "identity",
    "watch": "watch",
    "top": "top",
    "completion": "completion",
}
HEADINGS: Final = ("Agents", "Operators", "The house")


class Root(click.Group):
    """Finds commands by name, without importing all of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names that are shown."""
        return [name for names in self.sections().values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command, or None."""
        if module := HOUSE.get(cmd_name):
            command = getattr(import_module(f"rollcall.cli.{module}"), cmd_name)
            assert isinstance(command, click.Command)  # noqa: S101 - for the type checkers
            return command
        from rollcall.cli import verbs

        return verbs.find(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command; an unknown word is answered with the nearest known one."""
        name = args[0]
        if not ctx.resilient_parsing and name[:1].isalnum() and self.get_command(ctx, name) is None:
            raise click.NoSuchCommand(name, possibilities=self.list_commands(ctx), ctx=ctx)
        return super().resolve_command(ctx, args)

    @staticmethod
    def sections() -> dict[str, list[str]]:
        """Return the names under their headings."""
        from rollcall.cli import verbs

        names = (verbs.of_agents(), verbs.of_operators(), list(HOUSE))
        return dict(zip(HEADINGS, names, strict=True))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names under their headings."""
        for heading, names in self.sections().items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(heading):
                formatter.write_dl(
                    [(name, command.get_short_help_str(70)) for name, command in commands if command]
                )


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
    if not wanted:
        return
    from importlib.metadata import version

    click.echo(f"rollcall {version('rollcall')}")
    ctx.exit()


def _no_token(_ctx: click.Context, _param: click.Parameter, value: Any) -> None:
    if value is not None:
        from rollcall.cli.failures import Failed

        raise Failed(
            "--token: everybody on this machine can read a command line; name a file: ROLLCALL_NATS__CREDS",
            78,
        )


@click.group(
    "rollcall",
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`rollcall COMMAND --help` says more about each.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="The version."
)
@click.option("--token", hidden=True, is_eager=True, expose_value=False, callback=_no_token)
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Settings from this file.")
@click.pass_context
def root(ctx: click.Context, config_path: Path | None) -> None:
    """Keep a fleet of agents accountable: assign, ping, record the answers, escalate silence."""
    ctx.obj = config_path
