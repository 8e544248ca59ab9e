"""What `make` fetches for the tests: JavaScript of others."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def fetched(path: Path) -> Path:
    """Return the path if it is there; else fail with the one line that says how it gets there."""
    if not path.exists():
        place = path.relative_to(ROOT).parts
        folder = Path(*place[: place.index("node_modules") + 1])
        pytest.fail(f"{folder} is not whole: run `make {folder}/.package-lock.json`", pytrace=False)
    return path
