"""A how-to page as a program: its files are written, its commands run in one shell, in the order of the page.

The page says the little that a reader does without thinking, in comments that no reader sees:

    <!-- file: NAME -->             the block that follows is saved under that name
    <!-- terminal: COMMAND -->      the block runs on in a terminal of its own; ready once COMMAND succeeds
    <!-- prints: TEXT -->           the block that follows prints this somewhere

A block of another kind than `sh` that is no file is there to be looked at: what a command prints.
"""

import re
from pathlib import Path
from typing import Final

from msgspec import Struct

_BLOCK: Final = re.compile(r"((?:<!--[^\n]*-->\n)*)```(\w*)\n(.*?)```", re.DOTALL)
_NOTE: Final = re.compile(r"<!-- (file|terminal|prints): (.*?) -->")
READY_TRIES: Final = 600
LOOK_S: Final = 0.05

_HEAD: Final = r"""
set -euo pipefail
terminals=()
exec 3>&1
finish() {
    code=$?
    if [ $code -ne 0 ] && [ -n "${told:-}" ]; then cat "$told" >&3; fi
    for terminal in "${terminals[@]}"; do kill -INT -- -"$terminal" 2>/dev/null || true; done
    wait
    exit $code
}
trap finish EXIT
set -m
"""


class Block(Struct, frozen=True):
    """One fenced block, and what the page notes about it."""

    kind: str
    text: str
    file: str = ""
    ready: str = ""  # what succeeds once the terminal of its own is ready
    prints: tuple[str, ...] = ()


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page."""
    found: list[Block] = []
    for notes, kind, text in _BLOCK.findall(page):
        said = _NOTE.findall(notes)
        named = {what: word for what, word in said if what != "prints"}
        prints = tuple(word for what, word in said if what == "prints")
        found.append(Block(kind, text, named.get("file", ""), named.get("terminal", ""), prints))
    return found


def script(page: str, folder: Path) -> str:
    """Return a page as a program of bash; what each block prints stands in `folder`, under its number."""
    lines = [_HEAD]
    for number, block in enumerate(blocks(page)):
        told = folder / f"{number}.out"
        if block.file:
            lines.append(f"cat > {block.file} <<'END-OF-FILE'\n{block.text}END-OF-FILE")
        elif block.kind != "sh":
            continue
        elif block.ready:
            lines.append(f"( {block.text.strip()}\n) > {told} 2>&1 &\nterminals+=($!)")
            lines.append(_until(block.ready, told))
        else:
            # no `||` behind it: a shell that is asked for the outcome goes on behind a command that failed
            lines.append(f"told={told}\n{{\n{block.text.strip()}\n}} > {told} 2>&1")
        lines += [_check(number, text, told) for text in block.prints]
    return "\n".join(lines)


def _until(ready: str, told: Path) -> str:
    return (
        f"for _ in $(seq {READY_TRIES}); do {ready} >/dev/null 2>&1 && break; sleep {LOOK_S}; done\n"
        f"{ready} >/dev/null 2>&1 || {{ cat {told}; exit 1; }}"
    )


def _check(number: int, text: str, told: Path) -> str:
    return (
        f"grep -qF -- {quoted(text)} {told} "
        f"|| {{ echo 'block {number} does not print: '{quoted(text)}; cat {told}; exit 1; }}"
    )


def quoted(text: str) -> str:
    """Quote for bash."""
    return "'" + text.replace("'", "'\\''") + "'"
