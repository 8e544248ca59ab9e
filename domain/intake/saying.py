"""What was said: by whom, and where."""

import hashlib

from msgspec import Struct

from contracts.intake import Same, Sort
from domain.intake import words


class Saying(Struct, frozen=True, kw_only=True):
    """Who said what, and where."""

    sort: Sort
    name: str
    channel: str
    text: str

    @property
    def sender(self) -> str:
        """Who said it, as it stands in the audit."""
        return f"{self.sort}:{self.name}"

    def keys(self) -> dict[Same, str]:
        """Return by what another message may be the same thing."""
        said = hashlib.sha256(words.read(self.text).folded.encode("utf-8", "replace")).hexdigest()[:24]
        return {
            "text": f"text:{said}",
            "sender": f"sender:{self.name.lower()}",
            "channel": f"channel:{self.channel.lower()}",
        }
