"""What may not stand in the tree: one machine's places, work left undone, waits by the clock, empty names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

# Each pattern is written so that it does not find itself.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.}/-])/(?:home|root|Users|work|workspace)/\w",
    "a registry, which is the reader's own choice": r"pypi\.org|pythonhosted\.org|npmjs\.(?:com|org)",
    "an address in a lock": r'"resolved["]:|--(?:extra-)?index[-]url|--find[-]links',
    "something left undone": r"\b(?:FIX[M]E|XX[X])\b|(?:#|//|--|\*) *TO[D]O\b|\bTO[D]O:",
}
EMPTY_NAMES = {"base", "common", "helpers", "manager", "misc", "util", "utils"}


@pytest.mark.parametrize("pattern", FORBIDDEN.values(), ids=FORBIDDEN)
def test_no_file_has(pattern: str, files: list[Path]) -> None:
    texts = [path for path in files if path.suffix != ".png"]
    lines = ((path, line) for path in texts for line in path.read_text("utf-8", "ignore").splitlines())
    assert not [f"{path}: {line}" for path, line in lines if re.search(pattern, line)]


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a path of one machine", "open('/home" + "/ann/plan')"),
        ("a registry, which is the reader's own choice", "https://pypi" + ".org/simple"),
        ("an address in a lock", '"resolved' + '": "x"'),
        ("something left undone", "# TO" + "DO: later"),
    ],
)
def test_a_planted_word_is_found(what: str, line: str) -> None:
    assert re.search(FORBIDDEN[what], line)


def sleeps(source: str) -> Iterator[int]:
    """Yield the lines that wait by the clock; `sleep(0)` only gives way."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr="sleep") | ast.Name(id="sleep"), args=args):
                if not (args and isinstance(args[0], ast.Constant) and args[0].value == 0):
                    yield node.lineno
            case _:
                pass


def test_no_test_waits_by_the_clock(files: list[Path], root: Path) -> None:
    tests = [path for path in files if path.suffix == ".py" and path.is_relative_to(root / "tests")]
    # a load has a pace, and a storm its pauses; what is waited for there is no outcome, or time is virtual
    paced = {root / "tests/chaos", root / "tests/simulation"}
    judged = [path for path in tests if path.parent not in paced]
    assert not [f"{path}:{line}" for path in judged for line in sleeps(path.read_text("utf-8"))]


def test_a_planted_wait_is_found() -> None:
    assert set(sleeps("await anyio.sleep(0)\nawait anyio.sleep(0.1)\nsleep(delay)")) == {2, 3}


def test_names_say_what_is_inside(files: list[Path]) -> None:
    modules = [path for path in files if path.suffix == ".py"]
    assert not [path for path in modules if {path.stem, path.parent.name} & EMPTY_NAMES]
