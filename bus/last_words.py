"""What this process sent to mailboxes and has not seen followed by the newest word: one record per slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contracts.work import Post

Words: TypeAlias = "tuple[Post, ...]"  # of one slot, oldest first
WORDS_MAX: Final = 8  # of one slot; each needs a change of the row while the one before was on its way


class LastWords:
    """The words that may be the last in their mailboxes though they are not the newest.

    A record begins before a word is handed to the bus: from then on it may have been stored, whatever is
    heard of it. It ends with the newest word that passes here. There are no more records
    than rows that wait here.
    """

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self._newest: dict[int, int] = {}  # by row: the newest version that waits here
        self._sent: dict[int, Words] = {}

    def expect(self, post: Post) -> None:
        """Note a word that will be handed over, dropped or refused."""
        if post.slot is not None:
            self._newest[post.id] = max(post.version, self._newest.get(post.id, 0))

    def hand_over(self, posts: Iterable[Post]) -> list[Post]:
        """Note words that are handed to the bus now; returns those that are too many to be remembered."""
        surplus: list[Post] = []
        for post in posts:
            words = self._sent.get(post.id, ())
            if post.slot is not None and post not in words:
                surplus += words[: -WORDS_MAX + 1] if len(words) >= WORDS_MAX else ()
                self._sent[post.id] = (*words, post)[-WORDS_MAX:]
        return surplus

    def stored(self, posts: Iterable[Post], replaced: Iterable[Post], late: int) -> list[Words]:
        """Take words that the bus has stored; returns what may be the last word and is not the newest.

        What was created at `late` or before, a sibling may have sent too, and before older words of this
        process: then it does not follow them.
        """
        doubtful: list[Words] = []
        behind = {(post.id, post.version) for post in replaced}
        for post in posts:
            if post.slot is None:
                continue
            if (post.id, post.version) in behind:
                doubtful.append(self.end(post))
            elif post.created_at <= late:
                doubtful += self.left_by(post)
            else:
                self.end(post)
        return [words for words in doubtful if words]

    def left_by(self, post: Post) -> list[Words]:
        """Return what is left when a word ends that is itself no cause for doubt."""
        words = tuple(word for word in self.end(post) if word != post)
        return [words] if words else []

    def end(self, post: Post) -> Words:
        """Return what the newest word leaves behind; nothing yet while a newer one waits here."""
        if self._newest.get(post.id, 0) > post.version:
            return ()
        self._newest.pop(post.id, None)
        return self._sent.pop(post.id, ())
