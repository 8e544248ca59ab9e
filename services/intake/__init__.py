"""Intake: takes what is said in plain words, and makes by rules what is to become of it."""

from functools import cache
from importlib.resources import files

from msgspec import Struct, structs

from bus.service import Chore, Delivery, Duty, Endpoint, Front, Inbox, Listener, Request, digest
from contracts import subjects
from contracts.codec import decode, encode
from contracts.errors import MalformedError, RollcallError
from contracts.intake import IntakeLimits, PlainWords, RulebookRow, Sort
from contracts.operations import BY_NAME
from contracts.operations.intake import TryResult
from contracts.work import Cast, Changes, CommandKey, Committed, Lookup, Needs, Unit, View
from domain.credentials import namesake
from domain.intake import books, deciding, rules
from domain.intake.saying import Saying
from domain.timers import Timers

NEWEST = Lookup(query="newest_rulebook")
TWO_OF_A_NAME = (
    "conflict: an agent and somebody who operates have this name: which of them said it is not known"
)
UNREADABLE = "unreadable"  # what stands for a name that is none


class Intake(Struct, frozen=True, kw_only=True):
    """See the module."""

    timers: Timers
    limits: IntakeLimits = IntakeLimits()
    name: str = "intake"
    fronts: tuple[Front, ...] = ()
    listeners: tuple[Listener, ...] = ()
    duties: tuple[Duty, ...] = ()
    chores: tuple[Chore, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Saying something and asking what would become of it; the record; the rules."""
        return (
            Endpoint(operation=BY_NAME["agent.say"], unit=lambda request: self._asked(request, "agent")),
            Endpoint(operation=BY_NAME["intake.say"], unit=lambda request: self._asked(request, "operator")),
            Endpoint(operation=BY_NAME["intake.try"], unit=self._try),
            Endpoint(operation=BY_NAME["intake.ls"], unit=_record),
            Endpoint(operation=BY_NAME["rule.ls"], unit=_list),
            Endpoint(operation=BY_NAME["rule.show"], unit=_show),
            Endpoint(operation=BY_NAME["rule.set"], unit=_set),
        )

    @property
    def inboxes(self) -> tuple[Inbox, ...]:
        """What was said on the bus."""
        return (Inbox(stream="INTAKE", durable="intake", unit=self._stored, reply=_reply),)

    def _asked(self, request: Request, sort: Sort) -> Unit:
        params = request.params
        saying = Saying(sort=sort, name=request.identity, channel=params.channel, text=params.text)
        needs = self._needs(saying)
        return request.write(needs, lambda view, now: self._heard(view, now, saying))

    def _stored(self, delivery: Delivery) -> Unit:
        """Return the unit of a message; one that cannot be read is put on record, and buried nowhere."""
        name, channel = map(_name, delivery.tokens[1:3])
        try:
            text, reason = _text(delivery), ""
        except RollcallError as error:
            text, reason = "", f"{error.code}: {error.detail}"
        # who may publish under a name is the bus's to say; whether it is an agent's, the store's
        people = Lookup(query="people_named", params=(("name", name),))
        saying = Saying(sort="operator", name=name, channel=channel, text=text)

        def decide(view: View, now: int) -> Changes:
            agent = view.agents.get(name.lower())
            said = saying if agent is None else structs.replace(saying, sort="agent", name=agent.name)
            doubt = "" if agent is None or namesake(view.rows[people], now) is None else TWO_OF_A_NAME
            if reason or doubt:
                return deciding.refused(view, now, said, reason or doubt, known=self._known(view, saying))
            return self._heard(view, now, said)

        place = f"@{delivery.seq}.{delivery.at_us}"  # delivered again it is done once
        return Unit(
            key=f"{name}.{channel}",
            needs=self._needs(saying, people),
            decide=decide,
            actor=saying.sender,
            command=CommandKey("rollcall:intake", place, digest(delivery.tokens)),
        )

    def _heard(self, view: View, now: int, saying: Saying) -> Changes:
        return deciding.heard(
            view,
            now,
            rules.read(_newest(view).text),
            saying,
            known=self._known(view, saying),
            timers=self.timers,
        )

    def _try(self, request: Request) -> Unit:
        params = request.params
        saying = Saying(
            sort=params.sort,
            name=params.sender or request.identity,
            channel=params.channel,
            text=params.text,
        )

        def answer(view: View, now: int) -> TryResult:
            book = rules.read(_newest(view).text if params.toml is None else params.toml)
            return deciding.tried(book, saying, known=self._known(view, saying), now=now)

        return request.read(self._needs(saying), answer)

    def _needs(self, saying: Saying, *more: Lookup) -> Needs:
        lookups = (self._pace(saying), _made(saying), *more)
        return Needs(agents=(saying.name,), lookups=lookups, shared=(NEWEST,))

    def _known(self, view: View, saying: Saying) -> deciding.Known:
        return deciding.Known(
            pace=view.rows[self._pace(saying)][0], made=view.rows[_made(saying)], limits=self.limits
        )

    def _pace(self, saying: Saying) -> Lookup:
        limits = self.limits
        return Lookup(
            query="intake_pace",
            params=(
                ("name", saying.name),
                ("said", limits.said_per_minute - 1),
                ("made", limits.made_per_minute - 1),
                ("made_by_all", limits.made_per_hour - 1),
            ),
        )


def _text(delivery: Delivery) -> str:
    """Return what a message says: JSON with `text`, or the text itself; raises RollcallError."""
    for token in delivery.tokens[1:3]:
        subjects.name(token)
    data = delivery.data.removeprefix(b"\xef\xbb\xbf")
    if data.lstrip()[:1] == b"{":
        return decode(data, PlainWords).text
    try:
        plain = data.decode("utf-8").replace("\r\n", "\n").strip()
    except UnicodeDecodeError as error:
        raise MalformedError("neither JSON nor UTF-8") from error
    return decode(encode({"text": plain}), PlainWords).text


def _name(token: str) -> str:
    """Return the name, or what stands for one that is none."""
    try:
        return subjects.name(token)
    except RollcallError:
        return UNREADABLE


def _reply(delivery: Delivery, result: Committed) -> Cast:
    """Tell the sender what became of it."""
    body = result.answer if result.problem is None else encode(result.problem)
    return Cast(subject=subjects.intake_answer(delivery.tokens[1]), body=body)


@cache
def defaults() -> str:
    """Return the rules that come with Rollcall."""
    return (files("services.intake") / "rules.toml").read_text("utf-8")


def _newest(view: View) -> RulebookRow:
    return books.newest(view.rows[NEWEST], defaults())


def _made(saying: Saying) -> Lookup:
    return Lookup(query="intake_made", params=(("name", saying.name), *saying.keys().items()))


def _record(request: Request) -> Unit:
    return request.page("list_intake", books.record)


def _list(request: Request) -> Unit:
    return request.read(Needs(shared=(NEWEST,)), lambda view, _: books.listed(_newest(view)))


def _show(request: Request) -> Unit:
    version = request.params.version
    rows = Lookup(query="rulebook_of", params=(("version", version),)) if version else NEWEST
    return request.read(
        Needs(lookups=(rows,)), lambda view, _: books.found(view.rows[rows], version, defaults())
    )


def _set(request: Request) -> Unit:
    return request.write(
        Needs(lookups=(NEWEST,)),
        lambda view, now: books.write(view, now, request.params, actor=request.actor, rows=view.rows[NEWEST]),
    )
