"""What is wrong with the house, from what its processes have said."""

from typing import Any

import pytest
from msgspec import structs

from contracts.codec import encode, instant
from contracts.messages import LoopVital, Vital
from contracts.notifying import NotificationRow
from contracts.operations.system import Finding
from contracts.records import Brake, Due, Figures, Frozen, Machine, Process
from domain import health
from domain.status import watched
from domain.timers import SECOND_US
from tests.domain.world import START
from tests.support.store import agent

NOW = START
SIX = ("assigner", "pinger", "escalator", "monitor", "cleanup", "relay")
NOTHING = Due(ping_at=None, deadline_at=None, outbox_at=None)


def ago(seconds: float) -> int:
    return NOW - round(seconds * SECOND_US)


def vital(service: str = "pinger", process: str = "812-3fa9", **fields: Any) -> Vital:
    """Return the word of a service whose loop `pings` came round `rested` seconds ago, and is `lag` late."""
    rested, lag = fields.pop("rested", 0.1), fields.pop("lag", 0.0)
    loop = LoopVital(name="pings", ticked_at=instant(ago(rested)), lag_s=lag)
    given = {"at": instant(NOW), "ticked_at": loop.ticked_at, "lag_s": lag, "loops": (loop,)}
    return Vital(service=service, process=process, **given | fields)


def process(service: str, *vitals: Vital, sign: float = 0.5, **fields: Any) -> Process:
    given: dict[str, Any] = {
        "id": "812-3fa9",
        "started_at": ago(500),
        "alive_at": ago(sign),
        "bus_ok_at": ago(sign),
        "server": "s1",
        "vitals_at": ago(sign),
        "vitals": encode(vitals),
    }
    return Process(service=service, **given | fields)


def machine(name: str, **fields: Any) -> Machine:
    given: dict[str, Any] = {"id": 1, "session": "s", "joined_at": START, "beat_at": START}
    return Machine(name=name, **given | fields)


def found(*processes: Process, due: Due = NOTHING, expected: tuple[str, ...] = SIX) -> list[tuple[str, ...]]:
    return [
        (one.name, one.severity, one.detail, one.fix)
        for one in health.house(processes, due, expected=expected, now=NOW)
    ]


def test_a_house_that_is_well_has_no_findings() -> None:
    whole = process("+".join(SIX), *(vital(name) for name in SIX))
    assert found(whole) == []
    assert health.healthy(health.house([whole], NOTHING, expected=SIX, now=NOW))


def test_what_is_configured_and_does_not_run_is_named_with_the_command() -> None:
    others = process("+".join(name for name in SIX if name != "pinger"))
    gone = process("pinger", id="9-a", sign=41)
    assert found(others) == [("pinger", "error", "not running; never heard of", "rollcall run pinger")]
    assert found(others, gone) == [
        ("pinger", "error", "not running; last heard 41 s ago", "rollcall run pinger")
    ]
    late = Due(ping_at=ago(40), deadline_at=None, outbox_at=None)
    ((_, _, detail, _),) = found(others, gone, due=late)
    assert detail == "not running; last heard 41 s ago; its work is 40 s late"
    ((_, _, detail, _),) = found(others, gone, due=structs.replace(late, ping_at=ago(1.5)))
    assert "late" not in detail
    assert found(others, expected=("relay",)) == []


def test_when_nothing_runs_one_line_says_so() -> None:
    assert found() == [("services", "error", "none of the 6 runs; never heard of", "rollcall up")]
    assert found(process("+".join(SIX), sign=200))[0][2] == "none of the 6 runs; last heard 3 min ago"
    assert found(expected=("pinger",))[0][0] == "pinger"
    assert found(expected=()) == []


@pytest.mark.parametrize(("sign", "runs"), [(0, True), (5, True), (5.000001, False), (-9, True)])
def test_a_process_is_gone_after_five_seconds(sign: float, *, runs: bool) -> None:
    """Two ticks and the vitals' interval after it stopped somebody must have seen it."""
    assert (found(process("pinger", sign=sign), expected=("pinger",)) == []) is runs
    assert health.GONE_US + SECOND_US <= health.LATE_US + 5 * SECOND_US


def test_a_sibling_that_lives_stands_in() -> None:
    assert found(process("pinger", id="1-a", sign=99), process("pinger"), expected=("pinger",)) == []


def test_vitals_alone_are_a_sign_of_life() -> None:
    """In a short cut of the bus no stamp is written: it would make it an outage."""
    blind = process("pinger", alive_at=ago(7), bus_ok_at=ago(7))
    assert found(blind, expected=("pinger",)) == []


@pytest.mark.parametrize(("lag", "wrong"), [(2.0, False), (2.001, True)])
def test_a_loop_is_late_after_two_ticks(lag: float, *, wrong: bool) -> None:
    assert bool(found(process("pinger", vital(lag=lag, rested=9)), expected=())) is wrong
    assert bool(found(process("pinger", vital(lag=lag)), expected=())) is wrong


def test_a_loop_that_stands_still_is_told_from_one_that_has_too_much_to_do() -> None:
    still = vital(rested=13, lag=12)
    assert found(process("pinger", still), expected=()) == [
        (
            "pinger",
            "error",
            "pings stands still since 13 s in process 812-3fa9",
            "kill 812; rollcall run pinger",
        )
    ]
    ((_, _, _, fix),) = found(process("pinger+relay", still), expected=())
    assert fix == "rollcall down; rollcall up"
    behind = ("pinger", "warning", "pings is 12 s late in process 812-3fa9")
    assert found(process("pinger", vital(lag=12)), expected=())[0][:3] == behind
    assert found(process("pinger", vital(lag=61)), expected=())[0][1] == "error"


def test_the_latest_loop_of_a_service_speaks_for_it() -> None:
    early = LoopVital(name="restates", ticked_at=instant(NOW))
    late = LoopVital(name="answers", ticked_at=instant(ago(9)), lag_s=8.0)
    assert "answers" in found(process("pinger", vital(loops=(early, late))), expected=())[0][2]
    assert found(process("pinger", vital(loops=())), expected=()) == []


def test_a_deep_mailbox_is_a_warning() -> None:
    assert found(process("pinger", vital(waiting=2_000)), expected=()) == []
    assert found(process("pinger", vital(waiting=2_001)), expected=()) == [
        (
            "pinger",
            "warning",
            "2001 messages wait in process 812-3fa9",
            "rollcall run pinger   (one more beside it)",
        )
    ]


def test_a_bus_out_of_reach_is_an_error_of_whom_it_concerns() -> None:
    cut = process("pinger", id="1-a", bus_ok_at=ago(11))
    never = process("relay", id="2-b", bus_ok_at=None, started_at=ago(30))
    assert [row[:3] for row in found(cut, process("monitor"), expected=())] == [
        ("bus", "error", "out of reach of 1-a since 11 s")
    ]
    assert found(cut, never, expected=())[0][2] == "out of reach of all processes since 30 s"
    assert found(process("relay", bus_ok_at=None, started_at=ago(3)), expected=()) == []


@pytest.mark.parametrize(("waits", "severity"), [(15, None), (16, "warning"), (60, "warning"), (61, "error")])
def test_an_old_outbox(waits: int, severity: str | None) -> None:
    rows = found(due=structs.replace(NOTHING, outbox_at=ago(waits)), expected=())
    assert [row[1] for row in rows] == ([] if severity is None else [severity])


def test_what_waits_for_a_bus_that_nobody_reaches_is_no_alarm_of_its_own() -> None:
    """One mishap is one alarm; whoever reaches the bus and does not publish is another one."""
    cut = process("monitor", id="1-a", bus_ok_at=ago(90))
    old = structs.replace(NOTHING, outbox_at=ago(80))
    assert [row[:2] for row in found(cut, due=old, expected=())] == [("bus", "error"), ("outbox", "warning")]
    assert [row[:2] for row in found(cut, process("relay"), due=old, expected=())] == [
        ("bus", "error"),
        ("outbox", "error"),
    ]


def test_words_that_cannot_be_read_are_nobody_s() -> None:
    odd = process("pinger", vitals=b'{"of another": "version"}')
    assert health.vitals([odd, process("relay", vital("relay")), process("x", vitals=None)]) == (
        vital("relay"),
    )
    assert found(odd, expected=("pinger",)) == []


CALM = Figures(exhausted=0, quarantined=0, outbox=0, outbox_at=None, ping_at=None, deadline_at=None)


def needs(figures: Figures = CALM, **rows: Any) -> tuple[Finding, ...]:
    given: dict[str, Any] = {"dead": (), "machines": (), "brakes": (), "ways": (), "frozen": None}
    return health.fleet(figures, **given | rows, now=NOW)


def test_what_the_fleet_needs_is_never_an_error() -> None:
    dead = agent(7, "ann", status="dead", status_since=ago(130), dead_why="missed its beats")
    lost = machine("host1", connected=False, lost_at=ago(300))
    brake = Brake(id=1, scope="fleet", began_at=ago(240), members=8, silent=5)
    frozen = Frozen(since=ago(60), by="operator:olga", reason="upgrade")
    rows = needs(
        structs.replace(CALM, exhausted=1, quarantined=2),
        dead=[dead],
        machines=[lost, machine("host2"), machine("host3", connected=False, left_at=NOW)],
        brakes=[brake, structs.replace(brake, id=2, scope="machine:host1", released_at=NOW)],
        frozen=frozen,
    )
    assert [(row.name, row.detail, row.fix) for row in rows] == [
        ("frozen", "operator:olga froze everything 60 s ago: upgrade", "rollcall thaw"),
        (
            "brake",
            "5 of 8 of the fleet fell silent together 4 min ago: nobody is declared dead",
            'rollcall presence release fleet --reason "..."',
        ),
        (
            "brake",
            "5 of 8 of machine host1 fell silent together 4 min ago: one after the other is declared dead",
            'rollcall presence release machine:host1 --reason "..."',
        ),
        (
            "host1",
            "its daemon is lost since 5 min",
            "rollcall machine show host1   (there: rollcall daemon)",
        ),
        ("ann", "dead since 2 min: missed its beats", "rollcall agent show ann"),
        ("exhausted", "1 asked in vain to the end of the policy", "rollcall task ls"),
        ("quarantined", "2 taken out of work: no decision was possible", "rollcall dlq ls"),
    ]
    assert {row.severity for row in rows} == {"warning"}
    assert needs() == ()
    slack = NotificationRow(
        id=1,
        key="channel:slack",
        kind="channel",
        task_id=None,
        subject="slack",
        why="answered 500",
        at=ago(180),
    )
    assert [(row.name, row.severity, row.detail) for row in needs(ways=[slack])] == [
        ("notify.slack", "warning", "people cannot be told by slack since 3 min: answered 500")
    ]
    on = structs.replace(dead, machine="host1", status="dead_failed_revive", dead_why=None)
    assert [(row.detail, row.fix) for row in needs(dead=[on])] == [
        ("dead_failed_revive since 2 min: registered", "rollcall agent start ann")
    ]


def test_a_round_is_good_without_errors_only() -> None:
    well = health.house([process("pinger", vital(waiting=9_999))], NOTHING, expected=("pinger",), now=NOW)
    assert (len(well), health.healthy(well)) == (1, True)
    assert not health.healthy(health.house([], NOTHING, expected=("pinger",), now=NOW))
    assert health.healthy(())


def test_what_is_watched_each_tick() -> None:
    rows: dict[str, list[object]] = {"due": [NOTHING], "list_processes": [], "list_alarms": []}
    seen = watched(rows, NOW, expected=("pinger",))
    assert ([one.name for one in seen.findings], seen.alarms) == (["pinger"], ())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (1.9, "1 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 d")],
)
def test_spans_read_in_one_unit(seconds: float, text: str) -> None:
    assert health.span(round(seconds * SECOND_US)) == text
