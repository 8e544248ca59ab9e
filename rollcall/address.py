"""Where the bus is: as configured, else as `rollcall up` left it in the state folder."""

from pathlib import Path

from rollcall.settings import Settings


def bus_url(settings: Settings) -> str | None:
    """Return the address of the bus, or None when nobody has said it."""
    return settings.nats.url or _left(settings)


def own_bus(settings: Settings, url: str) -> bool:
    """Return whether `url` is the bus that `rollcall up` runs over this state folder."""
    return url == _left(settings)


def our_keys(settings: Settings, url: str) -> bool:
    """Return whether the bus at `url` lets in whom the keys of this state folder vouch for."""
    return own_bus(settings, url) or url == _read(server_file(settings))


def server_file(settings: Settings) -> Path:
    """Return where the address of a nats-server elsewhere stands that was told of our keys."""
    return settings.identity_dir / "server.url"


def _left(settings: Settings) -> str | None:
    return _read(settings.url_file)


def _read(file: Path) -> str | None:
    try:
        return file.read_text("utf-8").strip() or None
    except OSError:
        return None
