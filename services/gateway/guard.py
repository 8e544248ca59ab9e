"""What is asked before anything else: by which name, from which page, and with which token."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from contracts.errors import ForbiddenError, InternalError, MisdirectedError, RollcallError
from services.gateway import problems
from services.gateway.identity import Doorkeeper

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CALLER: Final = "caller"  # under which the scope says who asks
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OWN_SITES: Final = ("", "same-origin", "none")  # of Sec-Fetch-Site: no browser, our page, or typed by hand


class Guard:
    """Lets a request through to the app, or refuses it; the app hears of nobody who was not proved.

    Who asks stands in the state of the scope, under `CALLER`.
    """

    def __init__(self, app: App, keeper: Doorkeeper, hosts: tuple[str, ...]) -> None:
        """Keep under which names this may be asked, beside those of this machine."""
        self._app = app
        self._keeper = keeper
        self._hosts = LOCAL | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check_host(headers)
            self._check_origin(headers)
            path = str(scope["path"])
            if path.startswith(problems.PAGES):
                await explain(path.removeprefix(problems.PAGES), send)
                return
            scope["state"][CALLER] = await self._keeper.admit(headers.get("authorization", ""))
        except RollcallError as error:
            await refuse(error, send)
            return
        except Exception:
            log.exception("request.failed")
            await refuse(InternalError(), send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, headers: dict[str, str]) -> None:
        """Refuse a foreign name: it is how a page elsewhere reaches a server on this machine."""
        if _name(headers.get("host", "")) not in self._hosts:
            raise MisdirectedError("add its name to http.names if it is ours")

    def _check_origin(self, headers: dict[str, str]) -> None:
        """Refuse what another page asks in somebody's browser."""
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
        if foreign or headers.get("sec-fetch-site", "") not in _OWN_SITES:
            raise ForbiddenError("another site may not ask here")


def _name(host: str) -> str:
    """Return the name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def refuse(error: RollcallError, send: Send, *, allow: str = "") -> None:
    """Send a refusal."""
    problem = error.problem()
    await _send(
        send, problem.status, problems.MEDIA_TYPE, problems.body(problem), problems.headers(problem, allow)
    )


async def explain(code: str, send: Send) -> None:
    """Send what a kind of refusal means: the `type` of each leads here."""
    page = problems.page(code)
    kind = "text/plain; charset=utf-8"
    await _send(send, 404 if page is None else 200, kind, page or b"There is no such refusal.\n", {})


async def _send(send: Send, status: int, kind: str, body: bytes, more: dict[str, str]) -> None:
    headers = {"content-type": kind, "content-length": str(len(body)), "x-content-type-options": "nosniff"}
    raw = [(name.encode(), value.encode()) for name, value in (headers | more).items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
