"""What can be sent, and what becomes of a batch that was."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Final

from bus.api import BusUnavailable, NoStream, Outgoing, Refused, Unsendable
from bus.memory.streams import Refusal, size_of
from bus.publisher import IN_PROCESS, TRANSIENT_CODE, headers, wrong

NOWHERE: Final = re.compile(r"[ \t\r\n]|^$")
HEADER_KEY: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
MAX_PAYLOAD: Final = 1 << 20


class Batch:
    """What is still unanswered of one batch."""

    def __init__(self, indexes: Sequence[int]) -> None:
        self._left = dict.fromkeys(indexes)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused: list[Refused] = []
        if not indexes:
            self.done.set_result(None)

    def answer(self, index: int, outcome: Refusal | None) -> None:
        """Count one acknowledgement; a second one of the same message is none."""
        if index not in self._left:
            return
        if outcome is not None and outcome.is_nobody:
            self.fail(NoStream("503"))
        elif outcome is not None and (outcome.code >= TRANSIENT_CODE or outcome.err_code == IN_PROCESS):
            self.fail(BusUnavailable(outcome.description))
        elif outcome is not None:
            self.refused.append(Refused(index, outcome.err_code, outcome.description))
        del self._left[index]
        if not self._left and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: BusUnavailable) -> None:
        """End the wait: the outcome is unknown."""
        if not self.done.done():
            self.done.set_exception(error)

    def close(self) -> None:
        """Let nobody miss that it failed."""
        if not self.done.cancel() and not self.done.cancelled():
            self.done.exception()


def sendable(subject: str, data: bytes, lines: Mapping[str, str], reply: str = "") -> int:
    """Return the size of a message, or raise Unsendable."""
    size = size_of(data, lines)
    if reply and NOWHERE.search(reply):
        raise Unsendable(f"reply {reply!r}")
    if NOWHERE.search(subject):
        raise Unsendable(f"subject {subject!r}")
    if not all(HEADER_KEY.fullmatch(key) for key in lines):
        raise Unsendable("a header's name")
    if size > MAX_PAYLOAD:
        raise Unsendable(f"{size} bytes")
    return size


def unfit(item: Outgoing, stream: str) -> str | None:
    """Say why an item can never be sent."""
    try:
        sendable(item.subject, item.data, headers(item, stream))
    except Unsendable as error:
        return str(error)
    return wrong(item)
