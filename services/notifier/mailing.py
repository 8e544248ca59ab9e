"""Telling people by mail; names are looked up on the notifier's own threads, and nowhere else."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
import anyio

from contracts.codec import instant
from contracts.notifying import Answer, Job, Receivers

if TYPE_CHECKING:
    from bus.sending import Resolve

WHOLE_S: Final = 10.0
STEP_S: Final = 5.0  # one step of a conversation with a mail server
SUBMISSION: Final = 587
TLS: Final = 465


async def mail(told: Receivers, job: Job, *, now: int, resolve: Resolve) -> Answer:
    """Send a message, written at `now` (microseconds); it never raises but when it is cancelled."""
    server = urlsplit(told.mail_server)
    secure = server.scheme == "smtps"
    try:
        with anyio.fail_after(WHOLE_S):
            line = await _connected(
                server.hostname or "", server.port or (TLS if secure else SUBMISSION), resolve
            )
            await aiosmtplib.send(
                _letter(told, job, now),
                sock=line,
                hostname=server.hostname,
                local_hostname=_named(line),
                username=unquote(server.username) if server.username else None,
                password=unquote(server.password) if server.password else None,
                use_tls=secure,
                timeout=STEP_S,
            )
    except TimeoutError:
        return Answer(ok=False, text=f"no whole conversation in {WHOLE_S:g} s")
    except aiosmtplib.SMTPResponseException as error:
        return Answer(ok=False, text=f"{type(error).__name__}: it answered {error.code}")
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        return Answer(ok=False, text=type(error).__name__)
    return Answer(ok=True, text="taken")


async def _connected(host: str, port: int, resolve: Resolve) -> socket.socket:
    """Connect to the first address that a name stands for and that takes it; raises OSError."""
    failure = OSError("the name stands for no address")
    for address in await resolve(host, port):
        line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        line.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(line, (address, port))
        except OSError as error:
            line.close()
            failure = error
        except BaseException:
            line.close()
            raise
        else:
            return line
    raise failure


def _named(line: socket.socket) -> str:
    """Return how we greet the server: by our address, for to look our name up may hang."""
    own = ipaddress.ip_address(line.getsockname()[0].partition("%")[0])
    return f"[{'IPv6:' if own.version == 6 else ''}{own}]"  # noqa: PLR2004


def _letter(told: Receivers, job: Job, now: int) -> EmailMessage:
    letter = EmailMessage()
    sender = told.mail_from or told.mail_to[0]
    letter["From"], letter["To"], letter["Subject"] = sender, ", ".join(told.mail_to), job.title
    letter["Date"] = format_datetime(instant(now))
    letter["Message-ID"] = make_msgid(domain="rollcall.invalid")
    letter["Auto-Submitted"] = "auto-generated"
    if job.urgent:
        letter["Importance"] = "high"
    letter.set_content("\n".join((*job.lines, "", job.link)).strip() + "\n")
    return letter
