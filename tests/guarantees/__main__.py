"""Write docs/guarantees.md; with --check, fail if it is stale."""

import argparse
import sys
from pathlib import Path

from tests.guarantees.figures import read
from tests.guarantees.page import page

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write, or check; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.guarantees", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is stale")
    wanted = page(read(root / "docs" / "results")).encode()
    path = root / "docs" / "guarantees.md"
    if not parser.parse_args(arguments).check:
        path.write_bytes(wanted)
        return 0
    if path.is_file() and path.read_bytes() == wanted:
        return 0
    sys.stderr.write("docs/guarantees.md is stale: run `make generate`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
