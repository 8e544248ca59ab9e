"""Where the bus is: as configured, else as `rollcall up` left it in the state folder."""

from rollcall.settings import Settings


def bus_url(settings: Settings) -> str | None:
    """Return the address of the bus, or None when nobody has said it."""
    return settings.nats.url or _left(settings)


def own_bus(settings: Settings, url: str) -> bool:
    """Return whether `url` is the bus that `rollcall up` runs over this state folder."""
    return url == _left(settings)


def _left(settings: Settings) -> str | None:
    try:
        return settings.url_file.read_text("utf-8").strip() or None
    except OSError:
        return None
