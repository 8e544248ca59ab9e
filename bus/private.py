"""Files and folders that only their owner can read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    # a draft of its own: another process may write the same file now; mkstemp lets in nobody else
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def private_folder(path: Path) -> None:
    """Make a folder, and let nobody else in, whoever made it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
