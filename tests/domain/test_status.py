"""The whole at a glance, from the rows of its queries."""

from contracts.codec import instant
from contracts.operations.attention import AttentionView, ListResult
from contracts.records import Alarm, Due, Figures, Process, Tally
from domain.status import QUERIES, status
from domain.timers import SECOND_US
from tests.domain.world import START, World


def test_counts_ages_and_lags() -> None:
    rows: dict[str, list[object]] = {
        "tally_tasks": [Tally(name="todo", count=3)],
        "tally_assignments": [],
        "tally_agents": [Tally(name="ready", count=1)],
        "figures": [
            Figures(
                exhausted=1,
                quarantined=2,
                outbox=4,
                outbox_at=START - 5 * SECOND_US,
                ping_at=None,
                deadline_at=START + 9,
            )
        ],
        "list_processes": [
            Process(id="p1", service="pinger", started_at=START, alive_at=START, bus_ok_at=START, server="x")
        ],
        "due": [Due(ping_at=None, deadline_at=None, outbox_at=START - 20 * SECOND_US)],
        "list_dead": [],
        "list_machines": [],
        "load_brakes": [],
        "failing_ways": [],
        "get_meta": [("incarnation", "k"), ("frozen", '{"since":1,"by":"olga","reason":"upgrade"}')],
        "list_alarms": [Alarm(name="outbox", since=START, detail="waits", fix="rollcall run relay")],
    }
    assert set(rows) == set(QUERIES)
    since = instant(START)
    needed = ListResult(
        items=(AttentionView(kind="dead", since=since, why="silent", agent="bob"),), more=True
    )
    found = status(World(), START, rows, needed=needed, expected=("pinger", "relay"))
    assert (found.tasks, found.assignments, found.agents) == ({"todo": 3}, {}, {"ready": 1})
    assert (found.exhausted, found.quarantined, found.outbox, found.outbox_oldest_s) == (1, 2, 4, 5.0)
    assert (found.needs, found.needs_more) == ({"dead": 1}, True)
    assert (found.ping_lag_s, found.deadline_lag_s) == (0.0, 0.0)
    assert [process.service for process in found.processes] == ["pinger"]
    assert [(alarm.name, alarm.since) for alarm in found.alarms] == [("outbox", instant(START))]
    assert [finding.name for finding in found.findings] == [
        "relay",
        "outbox",
        "frozen",
        "exhausted",
        "quarantined",
    ]
