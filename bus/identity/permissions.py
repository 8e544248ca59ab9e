"""Who may publish and hear what: allow lists only, one for each role, in the words of `contracts.subjects`.

Agents and machines are in an account of their own, so that a reply which names a foreign subject leads
nowhere; what crosses between the accounts is `CROSSING`. Everybody has a place for replies that nobody else
can hear: `_INBOX_<name>` for agents, `_INBOX__<name>` for machines, and between the services `_INBOX.<name>`;
no name begins with `_`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from bus.streams import Topology, stream_name, topology
from contracts import subjects
from contracts.limits import MESSAGE_BYTES_MAX
from contracts.operations import ALL, Operation
from contracts.operations.access import reach
from contracts.tokens import Role

if TYPE_CHECKING:
    from bus.service import Service

Account = Literal["core", "agents", "system"]

ME: Final = "{{name()}}"  # the server puts the name there that the token says
HOUSE: Final = "house"  # all services in one process
SYSTEM: Final = "system"  # tells the server about accounts
AGENT_SUBS_MAX: Final = 32
AGENT_BYTES_MAX: Final = MESSAGE_BYTES_MAX + 4_096  # a message, and its headers
ANSWER_NS: Final = 120_000_000_000
BEAT_ANSWER_NS: Final = 5_000_000_000  # only a wrong beat is answered, and at once
_OPERATORS: Final[tuple[Role, ...]] = ("operator", "admin", "read_only")


class Grant(Struct, frozen=True, kw_only=True):
    """What a role may do; there is no other right than these."""

    account: Account
    pub: tuple[str, ...]
    sub: tuple[str, ...]
    subs: int = -1
    payload: int = -1
    answers: bool = False  # may answer what it is asked, each question once

    def template(self) -> dict[str, Any]:
        """Return it as an account says it."""
        if not self.pub or not self.sub:
            raise ValueError("an empty list of rights would be all rights")
        found: dict[str, Any] = {
            "pub": {"allow": list(self.pub)},
            "sub": {"allow": list(self.sub)},
            "subs": self.subs,
            "data": -1,
            "payload": self.payload,
        }
        if self.answers:
            found["resp"] = {"max": 1, "ttl": ANSWER_NS}
        return found


class Crossing(Struct, frozen=True, kw_only=True):
    """What passes from one account to the other."""

    subject: str  # without the root
    to: Account
    asked: bool  # a request or a message to somebody; else a stream of messages to whoever listens
    attested: bool = False  # the server adds who asks
    answer_ns: int = ANSWER_NS


CROSSING: Final = (
    Crossing(subject=subjects.ack("*", 0).replace("0", "*"), to="core", asked=True),
    Crossing(subject=subjects.agent_command("*", "*"), to="core", asked=True, attested=True),
    Crossing(subject=subjects.machine_command("*", "*"), to="core", asked=True, attested=True),
    Crossing(subject=subjects.heartbeat("*"), to="core", asked=True, answer_ns=BEAT_ANSWER_NS),
    Crossing(subject=subjects.machine_heartbeat("*"), to="core", asked=True, answer_ns=BEAT_ANSWER_NS),
    Crossing(subject="msg.*.*", to="core", asked=True),
    Crossing(subject="ping.*.*", to="agents", asked=False),
    Crossing(subject="answer.>", to="agents", asked=False),
    Crossing(subject="notice.*.*", to="agents", asked=False),
    Crossing(subject=subjects.order("*", "*"), to="agents", asked=True),
)
"""Who is named in each is held by the lists below, in the account where it is published or heard."""


def grants(services: Sequence[Service], root: str) -> dict[str, Grant]:
    """Return what each role may do, where these services run; `house` may do what all of them may."""
    streams = topology(root)
    own = {service.name: _service(service, streams) for service in services}
    house = Grant(
        account="core",
        pub=_once(subject for grant in own.values() for subject in grant.pub),
        sub=_once((f"{inbox(HOUSE, '')}.>", *(one for grant in own.values() for one in grant.sub))),
    )
    people = {role: _operator(role, root) for role in _OPERATORS}
    return {"agent": _agent(root), "machine": _machine(root), **people, **own, HOUSE: house, SYSTEM: _SYSTEM}


def inbox(role: str, name: str) -> str:
    """Return where somebody hears replies, and nobody else does."""
    if role == "agent":
        return f"_INBOX_{name}"
    if role == "machine":
        return f"_INBOX__{name}"
    return f"_INBOX.{name}" if role in _OPERATORS else f"_INBOX._{role}"


def _agent(root: str) -> Grant:
    """Return what an agent may do: speak as itself, and hear what is for itself."""
    said = (f"ack.{ME}.*", f"cmd.agent.{ME}.*", f"hb.{ME}", f"msg.{ME}.*")
    heard = (f"ping.{ME}.*", f"answer.{ME}.*", f"notice.{ME}.*")
    return Grant(
        account="agents",
        pub=_under(root, *said),
        sub=(*_under(root, *heard), f"{inbox('agent', ME)}.>"),
        subs=AGENT_SUBS_MAX,
        payload=AGENT_BYTES_MAX,
    )


def _machine(root: str) -> Grant:
    """Return what the daemon of a machine may do."""
    said = (f"cmd.machine.{ME}.*", f"hb.machine.{ME}")
    heard = (f"order.{ME}.*", f"answer.machine.{ME}.*")
    return Grant(
        account="agents",
        pub=_under(root, *said),
        sub=(*_under(root, *heard), f"{inbox('machine', ME)}.>"),
        subs=AGENT_SUBS_MAX,
        payload=AGENT_BYTES_MAX,
        answers=True,
    )


def _operator(role: Role, root: str) -> Grant:
    """Return what people may do: ask what the table of access allows them, and listen."""
    allowed = [one for one in ALL if one.scope == "operator" and reach(one.name, role)]
    asked = [subjects.command(one.owner, one.verb, ME) for one in allowed]
    if reach("intake.say", role):  # plain words make tasks, wherever they are said
        asked.append(subjects.message(ME, "*"))
    # nothing of JetStream: its server answers on whatever subject the question names, with rights of its own
    # whole families: who listens to `evt.task.1.>` needs the right to more than `evt.*.*.*`
    # not `ack.>`, `hb.>`, `dlq.>`: there stand sessions, by which an agent tells its life from an older one
    heard = ("evt.>", "ping.>", "answer.>", "notice.>", "vital.>")
    return Grant(
        account="core",
        pub=(*_under(root, *asked), "$SRV.>"),
        sub=(*_under(root, *((">",) if role == "admin" else heard)), f"{inbox(role, ME)}.>"),
    )


def _service(service: Service, streams: Topology) -> Grant:
    """Return what a service may do: its own doors, and what every process does for all."""
    root, name = streams.root, service.name
    heard = [subjects.wake(name), *(asked_at(endpoint.operation) for endpoint in service.endpoints)]
    for listener in service.listeners:
        heard += [listener.subject, *([listener.changes] if listener.changes else [])]
    more = BESIDE.get(name, Beside())
    pulled = [(stream_name(root, inbox.stream), inbox.durable) for inbox in service.inboxes]
    pulls = [f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}" for stream, durable in pulled]
    acks = [f"$JS.ACK.{stream}.{durable}.>" for stream, durable in pulled]
    api = [f"$JS.API.{verb}.{streams.name(short)}" for verb, short in more.api]
    return Grant(
        account="core",
        pub=_once((*_under(root, *_SAID, *more.said), *_topology(streams), *pulls, *acks, *api, *_REPLIES)),
        sub=_once((*_under(root, *heard, *more.heard), f"{inbox(name, '')}.>", "$SRV.>")),
    )


def asked_at(operation: Operation) -> str:
    """Return where an operation is asked, by anybody, without the root."""
    if operation.scope == "agent":
        return subjects.agent_command("*", operation.verb)
    if operation.scope == "machine":
        return subjects.machine_command("*", operation.verb)
    return subjects.command(operation.owner, operation.verb, "*")


class Beside(Struct, frozen=True):
    """What a service says and hears beside what it declares."""

    said: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    api: tuple[tuple[str, str], ...] = ()  # of JetStream: verb and stream


BESIDE: Final[Mapping[str, Beside]] = {
    "monitor": Beside(said=(subjects.order("*", "*"), subjects.heartbeat(subjects.CANARY))),
    "relay": Beside(  # puts dead letters back to where they came from
        said=("ack.*.*", "msg.*.*"), api=(("STREAM.MSG.GET", "DLQ"), ("STREAM.MSG.DELETE", "DLQ"))
    ),
    "gateway": Beside(  # asks in the name of whoever proved it over HTTP
        said=(
            subjects.agent_command("*", "*"),
            *sorted({asked_at(operation) for operation in ALL if operation.scope == "operator"}),
        ),
        heard=("evt.>", "ping.>", "ack.>", "answer.>", "notice.>"),
    ),
}

_SAID: Final = (
    *("in.ping.*.*", "evt.*.*.*", "dlq.>"),  # whoever committed a row publishes it, and what others left
    *("answer.>", "notice.*.*", "wake.*", "vital.*.*"),
)
_REPLIES: Final = ("_INBOX.>", "_R_.>")  # of operators and services, and what the server makes of agents' own


def _topology(streams: Topology) -> tuple[str, ...]:
    """Return what makes the streams whole."""
    names = [streams.name(short) for short in streams.streams]
    verbs = ("STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE")
    durables = [f"{durable.stream}.{durable.name}" for durable in streams.durables]
    return (
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        f"$JS.API.STREAM.MSG.GET.{streams.name('PINGS')}",  # which word a mailbox holds last
        *(f"$JS.API.{verb}.{name}" for verb in verbs for name in names),
        *(f"$JS.API.CONSUMER.INFO.{name}" for name in durables),
        *(f"$JS.API.CONSUMER.DURABLE.CREATE.{name}" for name in durables),
    )


_SYSTEM: Final = Grant(account="system", pub=("$SYS.REQ.CLAIMS.UPDATE",), sub=(f"{inbox(SYSTEM, '')}.>",))


def _under(root: str, *words: str) -> tuple[str, ...]:
    return tuple(f"{root}.{word}" for word in words)


def _once(words: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
