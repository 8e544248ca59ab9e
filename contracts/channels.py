"""Where messages pass that are no requests: who says them to whom, on which subjects, and what they carry.

Requests are the operations (`contracts.operations`); together they are all that is said on the bus.
"""

from typing import Final, Literal, get_args

from msgspec import Struct

from contracts import messages as m
from contracts.errors import Problem
from contracts.intake import PlainWords
from contracts.operations.intake import Became

Stream = Literal["PINGS", "ACKS", "INTAKE", "EVENTS", "DLQ"]
STREAMS: Final[tuple[Stream, ...]] = get_args(Stream)


class Channel(Struct, frozen=True, kw_only=True):
    """Subjects of one form; `{name}` is one token, which the subject's owner proves where it is an actor."""

    name: str
    subject: str  # under the root
    says: Literal["rollcall", "other"]  # who publishes: Rollcall, or an agent, a daemon, an operator
    carries: tuple[type[Struct], ...]  # one of these, as JSON; nothing where there are none
    summary: str
    answer: type[Struct] | None = None  # what is replied; None: nothing is
    stream: Stream | None = None  # in which it is kept; None: whoever does not listen misses it


CHANNELS: Final[tuple[Channel, ...]] = (
    Channel(
        name="ping",
        subject="ping.{agent}.{assignment}",
        says="rollcall",
        carries=(m.Ping, m.Withdrawn),
        summary="An agent hears that it owes an answer, or owes none any more.",
        stream="PINGS",
    ),
    Channel(
        name="ack",
        subject="ack.{agent}.{assignment}",
        says="other",
        carries=tuple(m.ANSWERS.values()),
        summary="An agent answers; what it says is durable before it is handled.",
        stream="ACKS",
    ),
    Channel(
        name="answer",
        subject="answer.{agent}.{assignment}",
        says="rollcall",
        carries=(m.Outcome,),
        summary="An agent hears, after the commit, what became of its answer.",
    ),
    Channel(
        name="answer.presence",
        subject="answer.{agent}.presence",
        says="rollcall",
        carries=(Problem,),
        summary="An agent hears that its beat was refused, and why.",
    ),
    Channel(
        name="msg",
        subject="msg.{sender}.{channel}",
        says="other",
        carries=(PlainWords,),
        summary="Somebody says something in plain words; the text alone, without JSON, will do.",
        stream="INTAKE",
    ),
    Channel(
        name="answer.intake",
        subject="answer.{sender}.intake",
        says="rollcall",
        carries=(Became, Problem),
        summary="Whoever said something hears what became of it.",
    ),
    Channel(
        name="notice",
        subject="notice.{agent}.{assignment}",
        says="rollcall",
        carries=(m.Notice,),
        summary="An agent is told what it did not ask about.",
    ),
    Channel(
        name="hb",
        subject="hb.{agent}",
        says="other",
        carries=(m.Beat,),
        summary="An agent is alive.",
    ),
    Channel(
        name="hb.machine",
        subject="hb.machine.{machine}",
        says="other",
        carries=(m.MachineBeat,),
        summary="A machine's daemon is alive, and tells of its processes.",
    ),
    Channel(
        name="answer.machine",
        subject="answer.machine.{machine}.presence",
        says="rollcall",
        carries=(Problem,),
        summary="A machine's daemon hears that its beat was refused, and why.",
    ),
    Channel(
        name="order",
        subject="order.{machine}.{agent}",
        says="rollcall",
        carries=(m.Order,),
        answer=m.Ordered,
        summary="A machine's daemon starts, stops or restarts the process of an agent.",
    ),
    Channel(
        name="evt",
        subject="evt.{aggregate}.{id}.{event}",
        says="rollcall",
        carries=(m.Event,),
        summary="What has changed, who changed it, and why; also in the headers of CloudEvents.",
        stream="EVENTS",
    ),
    Channel(
        name="dlq",
        subject="dlq.{stream}.{consumer}",
        says="rollcall",
        carries=(m.DeadLetter,),
        summary="What could not be handled, and why.",
        stream="DLQ",
    ),
    Channel(
        name="vital",
        subject="vital.{service}.{process}",
        says="rollcall",
        carries=(m.Vital,),
        summary="How one service of one process is.",
    ),
    Channel(
        name="wake",
        subject="wake.{service}",
        says="rollcall",
        carries=(),
        summary="A doorbell: look for work now, and not at the next tick.",
    ),
)
