"""Nothing grows past what can be seen whole: 70 lines a function, 400 a file."""

import ast
from collections.abc import Iterator
from pathlib import Path

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400


def long_functions(source: str) -> Iterator[tuple[str, int]]:
    """Yield name and length of every function that is too long; its docstring is free."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = extent(node)
            if ast.get_docstring(node) is not None:
                lines -= extent(node.body[0])
            if lines > FUNCTION_LINES_MAX:
                yield node.name, lines


def extent(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_functions_are_short(files: list[Path]) -> None:
    sources = [path for path in files if path.suffix == ".py"]
    found = {f"{path}:{name}": n for path in sources for name, n in long_functions(path.read_text("utf-8"))}
    assert not found


def test_files_are_short(files: list[Path]) -> None:
    sources = [path for path in files if path.suffix in {".css", ".html", ".js", ".py", ".sql"}]
    lines = {str(path): len(path.read_text("utf-8").splitlines()) for path in sources}
    assert not {path: n for path, n in lines.items() if n > FILE_LINES_MAX}


def test_a_long_function_is_found_wherever_it_stands() -> None:
    head = "class A:\n    async def f(self):\n"
    docstring = '        """Do.\n\n        It."""\n'
    line = "        pass\n"
    assert list(long_functions(head + line * 70)) == [("f", 71)]
    assert not list(long_functions(head + docstring + line * 69))
