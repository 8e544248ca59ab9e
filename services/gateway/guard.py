"""What is asked before anything else: by which name, from which page, and with which token."""

import re
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import anyio
import structlog
from msgspec import structs

from contracts.errors import (
    ForbiddenError,
    InternalError,
    MalformedError,
    MisdirectedError,
    OverloadedError,
    Problem,
    RollcallError,
    UnauthorizedError,
)
from services.gateway import Listening, problems, rates, session, site
from services.gateway.exchange import (
    JSON,
    App,
    Headers,
    Receive,
    Scope,
    Send,
    headers_of,
    read_body,
    refuse,
    send_body,
    send_raw,
)
from services.gateway.identity import Doorkeeper
from services.gateway.rates import FAILURES, PER_ADDRESS, Left, Rates
from services.gateway.refusals import Refusals

log = structlog.get_logger(__name__)

CALLER: Final = "caller"  # under which the scope says who asks
PROOF: Final = "proof"  # with what it was proved: the header, and the cookie
HEADERS: Final = "headers"  # and what all headers say
ADDRESS_CHARS_MAX: Final = 64  # longer is none, and would only fill memory
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_ONCE: Final = frozenset(
    {
        *(b"host", b"authorization", b"origin", b"sec-fetch-site", b"content-type"),
        *(b"idempotency-key", b"if-match", b"if-none-match", b"last-event-id"),
    }
)
_HOST: Final = re.compile(
    r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::[0-9]{0,5})?", re.ASCII
)  # and nobody's name before it
_OURS: Final = 500  # from this status on it is no fault of who asks
_OWN_SITES: Final = ("", "same-origin", "none")  # of Sec-Fetch-Site: no browser, our page, or typed by hand


class Guard:
    """Lets a request through to the app, or refuses it; the app hears of nobody who was not proved.

    Who asks stands in the state of the scope, under `CALLER`. The dashboard's files are everybody's.
    """

    def __init__(
        self,
        app: App,
        keeper: Doorkeeper,
        sessions: session.Sessions,
        refusals: Refusals,
        listening: Listening,
    ) -> None:
        """Keep under which names this may be asked, beside those of this machine, by whom, and how often."""
        self._app = app
        self._keeper = keeper
        self._sessions = sessions
        self._refusals = refusals
        self._site = site.Site()
        self._hosts = LOCAL | {host.lower() for host in listening.names}
        self._proxies = frozenset(listening.proxies)
        self._callers = rates = Rates(listening.per_minute)
        self._addresses = Rates(rates.limit * PER_ADDRESS)
        self._failures = Rates(FAILURES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = headers_of(scope)
        try:
            _check_once(scope)
            self._check_host(headers)
            method, path = str(scope["method"]), str(scope["path"])
            page = self._site.find(method, path)
            if page is not None:  # also when a link elsewhere leads here: nobody's data is in it
                await send_raw(send, *site.response(page, method, headers))
                return
            self._check_origin(headers)
            if path.startswith(problems.PAGES):
                await explain(path.removeprefix(problems.PAGES), send)
                return
            if (method, path) == ("POST", session.PATH):
                await self._enter(scope, headers, receive, send)
                return
            send = await self._admitted(scope, headers, send)
        except RollcallError as error:
            if error.status < _OURS:
                self._refusals.note(error.status, self._address(scope, headers))
            more = rates.headers(error.left) if isinstance(error, TooManyError) else {}
            await refuse(send, error.problem(), more)
            return
        except Exception:
            log.exception("request.failed")
            await refuse(send, InternalError().problem())
            return
        await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope, headers: Headers, send: Send) -> Send:
        """Say who it is, and return how it is answered: with what is left to it."""
        now = anyio.current_time()
        address = self._address(scope, headers)
        everybody = self._addresses.take(address, now)
        if not everybody.allowed:
            raise TooManyError(everybody)
        proof = (headers.get("authorization", ""), session.brought(headers))
        try:
            caller = await self._keeper.admit(*proof)
        except UnauthorizedError as error:
            self._count_failure(address, now, error)
        if not proof[0]:
            session.check_page(scope["method"], headers, scope["scheme"])
        left = self._callers.take(f"agent:{caller.agent}" if caller.agent else f"token:{caller.name}", now)
        if not left.allowed:
            raise TooManyError(left)
        scope["state"] |= {CALLER: caller, PROOF: proof, HEADERS: headers}
        more = [(name.encode(), value.encode()) for name, value in rates.headers(left).items()]

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == ForbiddenError.status:
                    self._refusals.note(ForbiddenError.status, address)
                message["headers"] = [*message["headers"], *more]
            await send(message)

        return answer

    def _address(self, scope: Scope, headers: Headers) -> str:
        """Return whose requests are counted: a proxy that we know says it, behind what it was told."""
        peer = str((scope.get("client") or ("",))[0])
        said = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return said[:ADDRESS_CHARS_MAX] if said and peer in self._proxies else peer

    async def _enter(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Change a link into a session; whoever guesses is slowed down as with tokens."""
        session.check_page("POST", headers, scope["scheme"])
        body = await read_body(headers, receive, session.CODE_BYTES_MAX)
        try:
            view, drawn = await self._sessions.enter(body)
        except UnauthorizedError as error:
            self._count_failure(self._address(scope, headers), anyio.current_time(), error)
        cookie = session.baked(drawn, headers, scope["scheme"])
        more = {"set-cookie": cookie, "cache-control": "no-store"}
        await send_body(send, 201, JSON, session.told(view), more)

    def _count_failure(self, address: str, now: float, error: UnauthorizedError) -> NoReturn:
        failed = self._failures.take(address, now)
        if failed.allowed:
            raise error
        raise TooManyError(failed) from error

    def _check_host(self, headers: Headers) -> None:
        """Refuse a foreign name: it is how a page elsewhere reaches a server on this machine."""
        if _name(headers.get("host", "")) not in self._hosts:
            raise MisdirectedError("add its name to http.names if it is ours")

    def _check_origin(self, headers: Headers) -> None:
        """Refuse what another page asks in somebody's browser."""
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
        if foreign or headers.get("sec-fetch-site", "") not in _OWN_SITES:
            raise ForbiddenError("another site may not ask here")


def _check_once(scope: Scope) -> None:
    """Refuse what is said twice: whoever stands before us may have gone by the other one."""
    said = [name for name, _ in scope["headers"] if name in _ONCE]
    if len(said) > len(set(said)):
        raise MalformedError("a header that may stand once stands twice")


def _name(host: str) -> str:
    """Return the name in a Host header, without its port; "" where it is not of that form."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower() if found else ""


class TooManyError(OverloadedError):
    """Too much is waiting already: try again later."""

    def __init__(self, left: Left) -> None:
        """Say how much is allowed, and when there is more."""
        super().__init__(f"more than {left.limit} requests in {rates.WINDOW_S} s")
        self.left = left

    def problem(self) -> Problem:
        """Return the refusal for the wire."""
        return structs.replace(super().problem(), retry_after_s=self.left.retry_s)


async def explain(code: str, send: Send) -> None:
    """Send what a kind of refusal means: the `type` of each leads here."""
    page = problems.page(code)
    kind = "text/plain; charset=utf-8"
    await send_body(send, 404 if page is None else 200, kind, page or b"There is no such refusal.\n", {})
