"""Writes the generated pages and golden vectors; with --check, names those that are stale."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from contracts.codec import encode
from rollcall import (
    generate_asyncapi,
    generate_cli,
    generate_operations,
    generate_screens,
    generate_settings,
    generate_shell,
)
from rollcall.generate_vectors import vectors
from services.gateway import openapi

ROOT: Final = Path(__file__).parents[1]
VECTORS: Final = "contracts/vectors"
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "docs/cli.md": generate_cli.page,
    "docs/configuration.md": generate_settings.page,
    "docs/operations.md": generate_operations.page,
    "rollcall/shell/verbs.json": generate_shell.table,
    "docs/screens.md": generate_screens.page,
}


def files() -> Iterator[tuple[str, str]]:
    """Yield the path and text of every generated file."""
    for path, page in PAGES.items():
        yield path, page()
    yield "docs/openapi.json", _formatted(openapi.document())
    yield "docs/asyncapi.json", _formatted(generate_asyncapi.document())
    if find_spec("domain.machines"):
        yield "docs/machines.md", import_module("domain.machines").document()
    for name, text in vectors():
        yield f"{VECTORS}/{name}", text


def stale(root: Path) -> list[str]:
    """Return the files that are missing, old, or no longer generated."""
    wanted = dict(files())
    found = [path for path, text in wanted.items() if not _is(root / path, text)]
    left = (f"{VECTORS}/{path.name}" for path in sorted((root / VECTORS).glob("*.json")))
    return [*found, *(path for path in left if path not in wanted)]


def write(root: Path) -> None:
    """Write every generated file, and remove vectors of messages that are gone."""
    wanted = dict(files())
    for path in (root / VECTORS).glob("*.json"):
        if f"{VECTORS}/{path.name}" not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")


def _formatted(document: Mapping[str, object]) -> str:
    return msgspec.json.format(encode(document), indent=1).decode() + "\n"


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write, or check; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rollcall.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    if not parser.parse_args(arguments).check:
        write(root)
        return 0
    found = stale(root)
    for path in found:
        sys.stderr.write(f"{path} is stale: run `make generate`\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
