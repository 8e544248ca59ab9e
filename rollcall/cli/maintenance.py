"""Commands that look after the house: backup, restore, config."""

from pathlib import Path
from typing import Any

import click
import msgspec

from rollcall.cli.failures import USAGE, Failed
from rollcall.cli.house import plain_failures, settings_from, settings_options
from rollcall.cli.setting import form_option
from rollcall.cli.text import clean, table
from rollcall.config import shown


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@settings_options
def backup(target: Path, **values: Any) -> None:
    """Copy the store, while it works, to the file TARGET."""
    settings = settings_from(values).settings
    from rollcall.maintenance import backup as copy

    with plain_failures():
        click.echo(copy(settings, target))


@click.command()
@click.argument("source", type=click.Path(path_type=Path), required=False)
@click.option("--in-place", is_flag=True, help="The file was copied into its place by hand.")
@settings_options
def restore(source: Path | None, in_place: bool, **values: Any) -> None:  # noqa: FBT001 - click's way
    """Put the copy SOURCE in place of the store; what the old one promised is no longer believed."""
    if (source is None) is not in_place:
        raise Failed("SOURCE or --in-place: one of them", USAGE)
    settings = settings_from(values).settings
    from rollcall.maintenance import restore as put_back

    with plain_failures():
        put_back(settings, source, in_place=in_place)
    click.echo("restored; next: rollcall up", err=True)


@click.group()
def config() -> None:
    """List the settings: what they are, and who set them."""


@config.command()
@click.option("--origin", is_flag=True, help="Also who set it: a default, a file, a variable, a flag.")
@settings_options
def show(origin: bool, form: str, **values: Any) -> None:  # noqa: FBT001 - click's way
    """List all settings, with secrets masked."""
    found = shown(settings_from(values))
    columns = ["key", "value", "origin"] if origin else ["key", "value"]
    _rows(form, [dict(zip(columns, row, strict=False)) for row in found], columns)


show.params.append(form_option())


def _rows(form: str, rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Write rows to standard output."""
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))
        return
    if form == "jsonl":
        for row in rows:
            click.echo(msgspec.json.encode(row))
        return
    cells = [[clean(str(row[key])) for key in columns] for row in rows]
    for line in table(cells, columns):
        click.echo(line)
