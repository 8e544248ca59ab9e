"""Small file systems of our own, so that a disk can be full without the machine's being so."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
CHUNKS: Final = (256 * MIB, 32 * MIB, 4 * MIB, MIB // 4, 4096)


class Disk:
    """A folder on a file system of its own where that can be made, else a plain folder, and why."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder = folder
        self.mib = mib
        self.why_not = "not asked for"
        self.own = False  # whether it can be filled without harm to others

    async def make(self) -> None:
        """Make an image, a file system in it, and mount it."""
        self.folder.mkdir(parents=True)
        image = self.folder.with_suffix(".img")
        with image.open("wb") as file:
            file.truncate(self.mib * MIB)
        for command in (
            ("mkfs.ext4", "-q", "-m", "0", str(image)),
            ("mount", "-o", "loop", str(image), str(self.folder)),
        ):
            if shutil.which(command[0]) is None:
                self.why_not = f"there is no {command[0]}"
                return
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
            if done.returncode:
                self.why_not = f"{command[0]}: {done.stderr.decode(errors='replace').strip()}"
                return
        self.own = True
        self.why_not = ""

    def fill(self) -> int:
        """Take all that is free, and return how many bytes that was."""
        began, taken = self._free(), 0
        with (self.folder / "ballast").open("wb") as ballast:
            for chunk in CHUNKS:
                while True:
                    try:
                        os.posix_fallocate(ballast.fileno(), taken, chunk)
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
                        break
                    taken += chunk
        return began - self._free()

    def free(self) -> None:
        """Give it back."""
        (self.folder / "ballast").unlink(missing_ok=True)

    def _free(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    async def remove(self) -> None:
        """Take it away; what was on it is gone."""
        if self.own:
            command = ("umount", "--lazy", str(self.folder))
            await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
        self.folder.with_suffix(".img").unlink(missing_ok=True)
