"""`rollcall`, and `python -m rollcall`."""

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code; agents' verbs take the short way where there is one."""
    try:
        from rollcall.shell.life import run

        code = run(sys.argv[1:])
        if code is None:
            code = _whole()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # `rollcall task ls | head`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _whole() -> int:
    """Run the command line proper."""
    import click

    from rollcall.cli.root import root

    try:
        code: int = root.main(prog_name="rollcall", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:  # Ctrl-C
        code = INTERRUPTED
    return code


if __name__ == "__main__":
    main()
