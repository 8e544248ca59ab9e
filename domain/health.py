"""Whether the house itself is well: what does not run, what is late, what is in the way, and what to do.

Errors are about Rollcall: while there is one it does not keep its promises. What the fleet needs from
somebody is a warning at most, for Rollcall does its work then.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from contracts.codec import decode, micros
from contracts.errors import RollcallError
from contracts.messages import LoopVital, Vital
from contracts.notifying import NotificationRow
from contracts.operations.system import Finding
from contracts.records import Agent, Brake, Due, Figures, Frozen, Machine, Process
from domain.timers import SECOND_US

TICK_US: Final = SECOND_US
LATE_US: Final = 2 * TICK_US  # a loop that is later does not do its work
GONE_US: Final = 5 * SECOND_US  # a process says every second that it lives; a slow disk may swallow a few
BEHIND_US: Final = 60 * SECOND_US  # a loop that works, and has so much left to do, needs help
OUTBOX_US: Final = 15 * SECOND_US  # the relay sweeps what is older than ten seconds
BUS_US: Final = 10 * SECOND_US
DEEP: Final = 2_000  # messages that wait for one service: four batches
_VITALS_BYTES_MAX: Final = 1_000_000


def healthy(findings: Sequence[Finding]) -> bool:
    """Return whether a round was good: then, and only then, whoever listens outside is told so."""
    return all(finding.severity != "error" for finding in findings)


def house(
    processes: Sequence[Process], due: Due, *, expected: Sequence[str], now: int
) -> tuple[Finding, ...]:
    """Return what is wrong with the services, with the bus as they see it, and with what they should do."""
    live = [process for process in processes if now - sign_at(process) <= GONE_US]
    found = [*_missing(processes, live, due, expected, now)]
    for vital in vitals(live):
        found += _of_service(vital, live)
    cut = _without_bus(live, now)
    found += _bus(cut, live, now)
    if due.outbox_at is not None and (late_us := now - due.outbox_at) > OUTBOX_US:
        nobody_can = bool(cut) and len(cut) == len(live)  # one mishap is one alarm
        found.append(
            Finding(
                name="outbox",
                severity="error" if late_us > BEHIND_US and not nobody_can else "warning",
                detail=f"what has to be published waits since {span(late_us)}",
                fix="rollcall run relay   (if it runs: look at the bus)",
            )
        )
    return tuple(found)


def fleet(
    figures: Figures,
    *,
    dead: Sequence[Agent],
    machines: Sequence[Machine],
    brakes: Sequence[Brake],
    ways: Sequence[NotificationRow],
    frozen: Frozen | None,
    now: int,
) -> tuple[Finding, ...]:
    """Return what the fleet needs from somebody; `dead` are some of its dead agents.

    `ways` are the open notices of ways in which people cannot be told.
    """
    said: list[tuple[str, str, str]] = []
    if frozen is not None:
        why = f"{frozen.by} froze everything {span(now - frozen.since)} ago: {frozen.reason}"
        said.append(("frozen", why, "rollcall thaw"))
    said += [("brake", _braked(brake, now), _release(brake)) for brake in brakes]
    said += [
        (machine.name, f"its daemon is lost since {span(now - (machine.lost_at or now))}", _on(machine))
        for machine in machines
        if not machine.connected and machine.left_at is None
    ]
    said += [(agent.name, _died(agent, now), _revive(agent)) for agent in dead]
    if figures.exhausted:
        why = f"{figures.exhausted} asked in vain to the end of the policy"
        said.append(("exhausted", why, "rollcall task ls"))
    if figures.quarantined:
        why = f"{figures.quarantined} taken out of work: no decision was possible"
        said.append(("quarantined", why, "rollcall dlq ls"))
    said += [(f"notify.{way.subject}", _untold(way, now), _try(way)) for way in ways]
    return tuple(Finding(name=name, severity="warning", detail=why, fix=fix) for name, why, fix in said)


def _release(brake: Brake) -> str:
    return f'rollcall presence release {brake.scope} --reason "..."'


def _braked(brake: Brake, now: int) -> str:
    where = "of the fleet" if brake.scope == "fleet" else f"of {brake.scope.replace(':', ' ')}"
    many = f"{brake.silent} of {brake.members} {where} fell silent together"
    ending = (
        "nobody is declared dead" if brake.released_at is None else "one after the other is declared dead"
    )
    return f"{many} {span(now - brake.began_at)} ago: {ending}"


def _untold(way: NotificationRow, now: int) -> str:
    return f"people cannot be told by {way.subject} since {span(now - way.at)}: {way.why}"


def _try(way: NotificationRow) -> str:
    return f"rollcall notification test --way {way.subject}   (then rollcall config show)"


def _on(machine: Machine) -> str:
    return f"rollcall machine show {machine.name}   (there: rollcall daemon)"


def _revive(agent: Agent) -> str:
    return f"rollcall agent {'start' if agent.machine else 'show'} {agent.name}"


def _died(agent: Agent, now: int) -> str:
    why = agent.dead_why or agent.status_why
    return f"{agent.status} since {span(now - agent.status_since)}: {why}"


def sign_at(process: Process) -> int:
    """Return when a process last gave a sign of life (microseconds)."""
    return max(process.alive_at, process.vitals_at or 0)


def vitals(processes: Sequence[Process]) -> tuple[Vital, ...]:
    """Return what the processes say of their services; the word of another version is left out."""
    found: list[Vital] = []
    for process in processes:
        try:
            found += decode(process.vitals or b"[]", tuple[Vital, ...], bytes_max=_VITALS_BYTES_MAX)
        except RollcallError:
            continue
    return tuple(found)


def span(us: int) -> str:
    """Return a length of time as people say it, in one unit."""
    seconds = max(0, us) // SECOND_US
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _missing(
    processes: Sequence[Process], live: Sequence[Process], due: Due, expected: Sequence[str], now: int
) -> Iterator[Finding]:
    running = {name for process in live for name in process.service.split("+")}
    missing = [name for name in expected if name not in running]
    if len(missing) > 1 and missing == list(expected):
        last = max(map(sign_at, processes), default=None)
        yield Finding(
            name="services",
            severity="error",
            detail=f"none of the {len(missing)} runs; {_heard(last, now)}",
            fix="rollcall up",
        )
        return
    late_at = {"pinger": due.ping_at, "escalator": due.deadline_at, "relay": due.outbox_at}
    for name in missing:
        signs = (sign_at(process) for process in processes if name in process.service.split("+"))
        at = late_at.get(name)
        late = "" if at is None or now - at <= LATE_US else f"; its work is {span(now - at)} late"
        detail = f"not running; {_heard(max(signs, default=None), now)}{late}"
        yield Finding(name=name, severity="error", detail=detail, fix=f"rollcall run {name}")


def _heard(at: int | None, now: int) -> str:
    return "never heard of" if at is None else f"last heard {span(now - at)} ago"


def _of_service(vital: Vital, live: Sequence[Process]) -> Iterator[Finding]:
    alone = any(process.id == vital.process and process.service == vital.service for process in live)
    late = max(vital.loops, key=lambda loop: loop.lag_s, default=None)
    if late is not None and late.lag_s * SECOND_US > LATE_US:
        yield _late(vital, late, alone=alone)
    if vital.waiting > DEEP:
        yield Finding(
            name=vital.service,
            severity="warning",
            detail=f"{vital.waiting} messages wait in process {vital.process}",
            fix=f"rollcall run {vital.service}   (one more beside it)",
        )


def _late(vital: Vital, loop: LoopVital, *, alone: bool) -> Finding:
    """Tell a loop that stands still from one that comes round and has more to do than it can."""
    rested_us = micros(vital.at) - micros(loop.ticked_at)
    late_us = round(loop.lag_s * SECOND_US)
    where = f"in process {vital.process}"
    if rested_us >= late_us:
        again = f"kill {_pid(vital.process)}; rollcall run {vital.service}"
        return Finding(
            name=vital.service,
            severity="error",
            detail=f"{loop.name} stands still since {span(rested_us)} {where}",
            fix=again if alone else "rollcall down; rollcall up",
        )
    return Finding(
        name=vital.service,
        severity="error" if late_us > BEHIND_US else "warning",
        detail=f"{loop.name} is {span(late_us)} late {where}",
        fix=f"rollcall run {vital.service}   (one more beside it)",
    )


def _pid(process: str) -> str:
    return process.partition("-")[0]


def _without_bus(live: Sequence[Process], now: int) -> list[Process]:
    return [process for process in live if now - (process.bus_ok_at or process.started_at) > BUS_US]


def _bus(cut: Sequence[Process], live: Sequence[Process], now: int) -> Iterator[Finding]:
    if cut:
        since = min(process.bus_ok_at or process.started_at for process in cut)
        whose = "all processes" if len(cut) == len(live) else ", ".join(process.id for process in cut)
        yield Finding(
            name="bus",
            severity="error",
            detail=f"out of reach of {whose} since {span(now - since)}",
            fix="start the server that nats.url names: rollcall config show",
        )
