"""How a command fails: one line for people, an exit code for programs."""

from typing import IO, Any

import click
import msgspec

from contracts.errors import Problem
from rollcall.cli import codes
from rollcall.cli.codes import CONFIG, CONFLICT, FAILED, FORBIDDEN, NOT_FOUND, NOTHING, UNAVAILABLE, USAGE

__all__ = [
    "CONFIG",
    "CONFLICT",
    "FAILED",
    "FORBIDDEN",
    "NOTHING",
    "NOT_FOUND",
    "UNAVAILABLE",
    "USAGE",
    "Failed",
    "Refused",
]


class Failed(click.ClickException):
    """A command that failed, with its exit code and, if there is one, what to run next."""

    def __init__(self, message: str, code: int = FAILED, *, hint: str = "") -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc] # click itself reads it off the instance
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to standard error."""
        from rollcall.cli.text import clean

        click.echo(f"Error: {clean(self.format_message())}", file=file, err=True)
        if self.hint:
            click.echo(f"next: {self.hint}", file=file, err=True)


class Refused(Failed):
    """Rollcall refused, and said why."""

    def __init__(self, problem: Problem, *, hint: str = "", as_json: bool = False) -> None:
        super().__init__(
            codes.refusal(msgspec.to_builtins(problem)), codes.exit_code(problem.status), hint=hint
        )
        self.problem = problem
        self.as_json = as_json

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to standard error; as JSON for who asked for JSON."""
        if not self.as_json:
            super().show(file)
            return
        from contracts.codec import encode

        click.echo(encode(self.problem), file=file, err=True)
