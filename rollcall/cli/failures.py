"""How a command fails: one line for people, an exit code for programs."""

from typing import IO, Any, Final

import click

from contracts.errors import Problem

FAILED: Final = 1
USAGE: Final = 2
NOTHING: Final = 3
FORBIDDEN: Final = 4
CONFLICT: Final = 5
NOT_FOUND: Final = 6
UNAVAILABLE: Final = 69
CONFIG: Final = 78
_CODES: Final = {
    400: USAGE,
    401: FORBIDDEN,
    403: FORBIDDEN,
    404: NOT_FOUND,
    409: CONFLICT,
    413: USAGE,
    422: USAGE,
    429: UNAVAILABLE,
    503: UNAVAILABLE,
}


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
        detail = f": {problem.detail}" if problem.detail and problem.detail != problem.title else ""
        fields = "".join(f"; {name}: {why}" for name, why in problem.fields.items())
        super().__init__(f"{problem.title}{detail}{fields} ({problem.code})", exit_code(problem), hint=hint)
        self.problem = problem
        self.as_json = as_json

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to standard error; as JSON for who asked for JSON."""
        if not self.as_json:
            super().show(file)
            return
        from contracts.codec import encode

        click.echo(encode(self.problem), file=file, err=True)


def exit_code(problem: Problem) -> int:
    """Return the exit code for a refusal."""
    return _CODES.get(problem.status, FAILED)
