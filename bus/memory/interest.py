"""Who listens to which subjects: patterns with `*` and `>`, found token by token."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class _Node(Generic[T]):
    def __init__(self) -> None:
        self.below: dict[str, _Node[T]] = {}
        self.here: dict[int, T] = {}


class Interest(Generic[T]):
    """Listeners by pattern, each under a number; found in the order of their numbers."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._top: _Node[T] = _Node()

    def add(self, pattern: str, number: int, listener: T) -> None:
        """Let a listener be found."""
        node = self._top
        for token in pattern.split("."):
            node = node.below.setdefault(token, _Node())
        node.here[number] = listener

    def remove(self, pattern: str, number: int) -> None:
        """Let a listener be found no more, if it was."""
        path = [self._top]
        tokens = pattern.split(".")
        for token in tokens:
            if token not in path[-1].below:
                return
            path.append(path[-1].below[token])
        path[-1].here.pop(number, None)
        for above, token, node in reversed(list(zip(path[:-1], tokens, path[1:], strict=True))):
            if node.here or node.below:
                return
            del above.below[token]

    def find(self, subject: str) -> list[T]:
        """Return all who listen to a subject."""
        found: dict[int, T] = {}
        nodes = [self._top]
        for token in subject.split("."):
            after: list[_Node[T]] = []
            for node in nodes:
                if rest := node.below.get(">"):
                    found.update(rest.here)
                after += [node.below[step] for step in (token, "*") if step in node.below]
            nodes = after
        for node in nodes:
            found.update(node.here)
        return [found[number] for number in sorted(found)]
