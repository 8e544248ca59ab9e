"""Which run of an agent speaks: as its process was told, else as its last `join` left it on this machine."""

import os
from collections.abc import Mapping
from typing import Final

AGENT: Final = "ROLLCALL_AGENT"
VARIABLE: Final = "ROLLCALL_SESSION"
BYTES_MAX: Final = 64


def told(agent: str, environ: Mapping[str, str]) -> str | None:
    """Return the session that this process was told, unless it was told so as another agent."""
    return environ.get(VARIABLE) if (environ.get(AGENT) or agent) == agent else None


def known(agent: str, path: str, environ: Mapping[str, str]) -> str | None:
    """Return the session that the agent speaks in, or None."""
    if session := told(agent, environ):
        return session
    try:
        with open(path, encoding="ascii") as file:
            return file.read(BYTES_MAX).strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def chosen(agent: str, environ: Mapping[str, str]) -> str:
    """Return the session of a new run: the one the process was told, else one of its own."""
    return told(agent, environ) or os.urandom(8).hex()


def keep(path: str, session: str) -> None:
    """Keep the session for the verbs that follow, where nobody else reads it."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    draft = f"{path}.{os.getpid()}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(session)
    os.replace(draft, path)


def forget(path: str) -> None:
    """Forget it: the agent has left."""
    try:
        os.unlink(path)
    except OSError:
        return


def settle(operation: str, session: str, path: str) -> str:
    """Keep the session that joined, forget the one that left; return what there is to say about it, or ""."""
    if operation == "agent.leave":
        forget(path)
    if operation != "agent.join":
        return ""
    try:
        keep(path, session)
    except OSError as error:
        return f"note: {path}: {error.strerror}: the next verbs need {VARIABLE}={session}"
    return ""
