"""What a setting alone cannot show: whether settings can be used together, and here."""

from collections.abc import Iterator
from ipaddress import ip_network
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.errors import InvalidError
from domain.addresses import Reach, place
from rollcall.settings import Settings
from rollcall.settings_notify import Notify


def reach(settings: Settings) -> Reach:
    """Return where webhooks may go."""
    said = settings.webhooks
    return Reach(allow=said.allow, http=said.http, ports=said.ports)


def wrong(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each setting that cannot be used, and why; no secret is in the words."""
    for text in settings.webhooks.allow:
        try:
            ip_network(text)
        except ValueError as error:
            yield "webhooks.allow", str(error)
            return  # without it nothing can be said of addresses
    yield from _of_notify(settings.notify, reach(settings))


def _of_notify(said: Notify, allowed: Reach) -> Iterator[tuple[str, str]]:
    try:
        ZoneInfo(said.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield "notify.zone", f"there is no time zone {said.zone} here"
    for name in ("webhook_url", "ntfy_url", "slack_url"):
        url = getattr(said, name)
        try:
            if url:
                place(url, allowed)
        except InvalidError as error:
            yield f"notify.{name}", error.fields["endpoint_url"]
    if said.ntfy_url and not urlsplit(said.ntfy_url).path.strip("/"):
        yield "notify.ntfy_url", "it names no topic: write it as https://ntfy.sh/our-topic"
    if said.mail_server and not said.mail_to:
        yield "notify.mail_server", "nobody gets mail: name somebody in notify.mail_to"
    if said.mail_to and not said.mail_server:
        yield "notify.mail_to", "no server takes mail: name one in notify.mail_server"
    try:
        _ = urlsplit(said.mail_server).port
    except ValueError:
        yield "notify.mail_server", "its port is no number up to 65535"
