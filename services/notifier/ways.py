"""The ways in which people are told: each makes of a message what its receiver reads, and sends it."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never
from urllib.parse import urlsplit

import structlog
from msgspec import Struct, structs

from bus.sending import Headers, Limits, NotSent, Resolve, Trust, post
from contracts.codec import encode
from contracts.errors import InvalidError
from contracts.notifying import Answer, Job, Receivers, Way
from domain.addresses import Place, Reach, place, refusal
from services.notifier.mailing import mail

if TYPE_CHECKING:
    from bus.api import Clock

log = structlog.get_logger(__name__)

Send: TypeAlias = Callable[[Job], Awaitable[Answer]]

WHOLE_S: Final = 10.0
GOOD: Final = range(200, 300)


class Outside(Struct, frozen=True, kw_only=True):
    """What it takes to reach somebody over HTTP."""

    clock: Clock
    reach: Reach
    resolve: Resolve
    trust: Trust
    limits: Limits = Limits(whole_s=WHOLE_S)

    async def post(self, url: str, body: bytes, headers: Headers = (), *, path: str | None = None) -> Answer:
        """Post JSON and return what was answered."""
        try:
            where = _as_written(place(url, self.reach))
            status = await post(
                where if path is None else structs.replace(where, path=path),
                [("User-Agent", "rollcall"), *headers],
                body,
                judge=partial(refusal, reach=self.reach),
                resolve=self.resolve,
                trust=self.trust,
                limits=self.limits,
            )
        except InvalidError as error:
            return Answer(ok=False, text=error.fields.get("endpoint_url", "") or error.detail)
        except NotSent as error:
            return Answer(ok=False, text=str(error))
        return Answer(ok=status in GOOD, text=f"answered {status}")


def configured(told: Receivers) -> tuple[Way, ...]:
    """Return the ways in which people are told."""
    found: dict[Way, bool] = {
        "log": told.log,
        "webhook": bool(told.webhook_url),
        "ntfy": bool(told.ntfy_url),
        "slack": bool(told.slack_url),
        "mail": bool(told.mail_server and told.mail_to),
    }
    return tuple(way for way, wanted in found.items() if wanted)


def sender(way: Way, told: Receivers, outside: Outside) -> Send:
    """Return what sends a message in one way; it never raises but when it is cancelled."""
    match way:
        case "log":
            return _log
        case "webhook":
            return partial(_webhook, told, outside)
        case "ntfy":
            return partial(_ntfy, told, outside)
        case "slack":
            return partial(_slack, told, outside)
        case "mail":
            return partial(_mail, told, outside)
        case _:
            assert_never(way)


def _as_written(where: Place) -> Place:
    """Return the place itself, and not where pings to it go."""
    return structs.replace(where, path=where.path.removesuffix("/ping") or "/")


async def _log(job: Job) -> Answer:
    say = log.warning if job.urgent else log.info
    say("people.told", title=job.title, about=list(job.lines), link=job.link)
    return Answer(ok=True, text="written")


async def _webhook(told: Receivers, outside: Outside, job: Job) -> Answer:
    body = encode(
        {
            "title": job.title,
            "lines": job.lines,
            "items": job.items,
            "urgent": job.urgent,
            "link": job.link,
            "test": job.test,
        }
    )
    at = str(outside.clock.now() // 1_000_000)
    headers = [("Webhook-Id", job.message_id), ("Webhook-Timestamp", at)]
    if told.webhook_key:
        key = b64decode(told.webhook_key.removeprefix("whsec_"))
        said = b".".join((job.message_id.encode(), at.encode(), body))
        signature = b64encode(hmac.digest(key, said, hashlib.sha256)).decode()
        headers.append(("Webhook-Signature", f"v1,{signature}"))
    return await outside.post(told.webhook_url, body, headers)


async def _ntfy(told: Receivers, outside: Outside, job: Job) -> Answer:
    topic = urlsplit(told.ntfy_url).path.strip("/")
    body: dict[str, object] = {
        "topic": topic,
        "title": job.title,
        "message": "\n".join(job.lines),
        "priority": 5 if job.urgent else 3,
        **({"click": job.link} if job.link else {}),
    }
    headers = [("Authorization", f"Bearer {told.ntfy_token}")] if told.ntfy_token else []
    return await outside.post(told.ntfy_url, encode(body), headers, path="/")


async def _slack(told: Receivers, outside: Outside, job: Job) -> Answer:
    lines = [f"*{_plain(job.title)}*", *map(_plain, job.lines if job.items > 1 else ())]
    if job.link:
        lines.append(f"<{job.link}>")
    return await outside.post(told.slack_url, encode({"text": "\n".join(lines)}))


def _plain(text: str) -> str:
    """Return text in which nobody is called and nothing is a link."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("@", "@\u200b")  # others who speak as Slack act on a bare @everyone


async def _mail(told: Receivers, outside: Outside, job: Job) -> Answer:
    return await mail(told, job, now=outside.clock.now(), resolve=outside.resolve)
