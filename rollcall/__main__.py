"""`rollcall`, and `python -m rollcall`."""

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    import click

    from rollcall.cli.root import root

    try:
        code = root.main(prog_name="rollcall", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:  # Ctrl-C
        code = INTERRUPTED
    except BrokenPipeError:  # `rollcall task ls | head`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
