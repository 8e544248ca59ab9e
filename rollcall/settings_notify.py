"""How people are told: the part of the settings about receivers, quiet hours and words."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from contracts.notifying import Manner, Receivers
from rollcall.settings_values import WebUrl

_QUIET: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")

Quiet = Annotated[
    str,
    Meta(
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?\Z",
        extra={"form": "two times of the day such as 22:00-07:00"},
    ),
]
Zone = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_+/-]{1,64}\Z", extra={"form": "a time zone such as Europe/Berlin"}),
]
Key = Annotated[
    str,
    Meta(
        pattern=r"^(whsec_[A-Za-z0-9+/]{16,256}={0,2})?\Z",
        extra={"form": "a key such as whsec_…", "kind": "secret"},
    ),
]
Token = Annotated[
    str,
    Meta(
        pattern=r"^[!-~]{0,512}\Z",
        extra={"form": "letters, digits and signs without spaces", "kind": "secret"},
    ),
]
MailServer = Annotated[
    str,
    Meta(
        pattern=r"^(smtps?://[^\s/]+)?\Z",
        max_length=2_000,
        extra={"form": "an address such as smtp://user:password@mail.example:587", "kind": "secret"},
    ),
]
Address = Annotated[str, Meta(pattern=r"^[^\s@,<>]{1,64}@[^\s@,<>]{1,255}\Z")]
Addresses = Annotated[
    tuple[Address, ...], Meta(max_length=16, extra={"form": "a list of mail addresses", "kind": "names"})
]
Sender = Annotated[
    str, Meta(pattern=r"^([^\s@,<>]{1,64}@[^\s@,<>]{1,255})?\Z", extra={"form": "a mail address"})
]


class Notify(Struct, frozen=True, kw_only=True):
    """Where people are told what needs them."""

    log: Annotated[bool, Meta(description="Whether it is written to the log too.")] = True
    webhook_url: Annotated[
        WebUrl, Meta(description="Called with JSON. Empty, as with all receivers: nobody is.")
    ] = ""
    webhook_key: Annotated[Key, Meta(description="What these calls are signed with.")] = ""
    ntfy_url: Annotated[WebUrl, Meta(description="A topic of ntfy, as its whole address.")] = ""
    ntfy_token: Annotated[Token, Meta(description="The token for that topic.")] = ""
    slack_url: Annotated[WebUrl, Meta(description="An incoming webhook of Slack, or what speaks as it.")] = ""
    mail_server: Annotated[MailServer, Meta(description="The server that takes mail, smtp or smtps.")] = ""
    mail_from: Annotated[Sender, Meta(description="From whom. Empty: from the first who gets it.")] = ""
    mail_to: Annotated[Addresses, Meta(description="Who gets mail.")] = ()
    quiet: Annotated[Quiet, Meta(description="When only what is urgent is told. Empty: never.")] = ""
    zone: Annotated[Zone, Meta(description="In which time zone.")] = "UTC"
    content: Annotated[
        bool, Meta(description="Whether words of agents and people may leave the house with it.")
    ] = False
    link: Annotated[WebUrl, Meta(description="Where the dashboard is, as people reach it.")] = ""

    def receivers(self) -> Receivers:
        """Return who is told."""
        return Receivers(
            log=self.log,
            webhook_url=self.webhook_url,
            webhook_key=self.webhook_key,
            ntfy_url=self.ntfy_url,
            ntfy_token=self.ntfy_token,
            slack_url=self.slack_url,
            mail_server=self.mail_server,
            mail_from=self.mail_from,
            mail_to=self.mail_to,
        )

    def manner(self, now: int) -> Manner:
        """Return how people want to be told at an instant (microseconds)."""
        return Manner(link=self.link.rstrip("/"), content=self.content, quiet=self._is_quiet(now))

    def _is_quiet(self, now: int) -> bool:
        found = _QUIET.fullmatch(self.quiet)
        if found is None:
            return False
        here = datetime.fromtimestamp(now / 1_000_000, UTC).astimezone(ZoneInfo(self.zone))
        at = here.hour * 60 + here.minute
        begin, end = (int(found[part]) * 60 + int(found[part + 1]) for part in (1, 3))
        return begin <= at < end if begin <= end else at >= begin or at < end
