"""Where the bus is: as configured, else as `rollcall up` left it in the state folder."""

from rollcall.settings import Settings


def bus_url(settings: Settings) -> str | None:
    """Return the address of the bus, or None when nobody has said it."""
    if settings.nats.url:
        return settings.nats.url
    try:
        return settings.url_file.read_text("utf-8").strip() or None
    except OSError:
        return None
