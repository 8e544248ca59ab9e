"""Every hot query has its index and reads no more than it must; every named query can be run."""

import re
from pathlib import Path

import pytest

from store.sql import Query, parse, queries
from store.sqlite import SqliteStore
from tests.support.store import fill

QUERIES = queries("sqlite")
SORTED = "USE TEMP B-TREE FOR ORDER BY"
ALIKE = "RIGHT PART OF ORDER BY"  # a sort of those few that the index does not tell apart
GROUPED = "USE TEMP B-TREE FOR GROUP BY"

# What each query must use; where a sort is named, it is of what was found by the index, never of a table.
PLANS = {
    "load_assignments": ["SEARCH assignments USING INTEGER PRIMARY KEY"],
    "load_leases": ["SEARCH a USING INDEX assignments_agent (agent=?)", "sqlite_autoindex_agents", SORTED],
    "load_excluded": ["SEARCH assignments USING INDEX assignments_task (task_id=?)"],
    "load_tasks": ["SEARCH tasks USING INTEGER PRIMARY KEY"],
    "load_task_keys": ["SEARCH tasks USING INDEX sqlite_autoindex_tasks"],
    "load_dependents": ["SEARCH task_dependencies USING COVERING INDEX task_dependencies_depends_on"],
    "load_dependencies": ["SEARCH task_dependencies USING COVERING INDEX sqlite_autoindex_task_dep"],
    "load_agents": ["SEARCH agents USING INDEX sqlite_autoindex_agents"],
    "load_agent_ids": ["SEARCH agents USING INTEGER PRIMARY KEY"],
    "load_candidates": ["SCAN agents USING INDEX agents_able"],  # that is: exactly those who have room
    "load_escalations": ["SEARCH escalations USING INTEGER PRIMARY KEY"],
    "load_machines": ["SEARCH machines USING INDEX sqlite_autoindex_machines"],
    "load_machine_ids": ["SEARCH machines USING INTEGER PRIMARY KEY"],
    "load_brakes": ["SCAN brakes USING INDEX brakes_open"],  # those that are on: few, or none
    "claim_silent_machines": ["SEARCH machines USING COVERING INDEX machines_silent_at (silent_at<?)"],
    "next_silent_machine_at": ["SEARCH machines USING COVERING INDEX machines_silent_at (silent_at>?)"],
    "claim_brakes": ["SEARCH brakes USING COVERING INDEX brakes_look_at (look_at<?)"],
    "next_brake_at": ["SEARCH brakes USING COVERING INDEX brakes_look_at (look_at>?)"],
    "machine_agents": ["SEARCH agents USING INDEX agents_machine (machine=?)"],
    "update_machine": ["SEARCH machines USING INTEGER PRIMARY KEY"],
    "load_policies": ["SEARCH policies USING INDEX sqlite_autoindex_policies"],
    "load_commands": ["SEARCH c USING INDEX sqlite_autoindex_commands_1 (actor=? AND command_id=?)"],
    "load_slots": ["SEARCH outbox USING INDEX sqlite_autoindex_outbox"],
    "update_assignment": ["SEARCH assignments USING INTEGER PRIMARY KEY"],
    "update_task": ["SEARCH tasks USING INTEGER PRIMARY KEY"],
    "update_agent": ["SEARCH agents USING INTEGER PRIMARY KEY"],
    "update_post": ["SEARCH outbox USING INTEGER PRIMARY KEY"],
    "delete_post": ["SEARCH outbox USING INTEGER PRIMARY KEY"],
    "ping_published": ["SEARCH pings USING INDEX sqlite_autoindex_pings_1 (assignment_id=? AND attempt=?)"],
    "claim_pings": [
        "SEARCH assignments USING INDEX assignments_ping_at (ping_at<?)",
        "SCAN agents USING INDEX agents_unpinged",  # that is: exactly those who may not be pinged
    ],
    "claim_deadlines": ["SEARCH assignments USING COVERING INDEX assignments_deadline_at (deadline_at<?)"],
    "claim_assignable": ["SEARCH tasks USING COVERING INDEX tasks_assign_at (assign_at<?)", SORTED],
    "claim_restates": ["SEARCH assignments USING COVERING INDEX assignments_restate_at (restate_at<?)"],
    "next_restate_at": ["SEARCH assignments USING COVERING INDEX assignments_restate_at (restate_at>?)"],
    "mark_restates": ["SEARCH assignments USING INTEGER PRIMARY KEY"],
    "published_pings": ["SEARCH p USING INDEX sqlite_autoindex_pings_1 (assignment_id=? AND attempt=?)"],
    "claim_deliveries": [
        "SEARCH d USING INDEX deliveries_next_at (next_at<?)",
        "SEARCH o USING INDEX deliveries_agent (agent=?",
    ],
    "next_delivery_at": ["SEARCH deliveries USING COVERING INDEX deliveries_next_at (next_at>?)"],
    "due_delivery": ["SEARCH d USING INTEGER PRIMARY KEY"],
    "failed_tries": ["SEARCH deliveries USING INDEX sqlite_autoindex_deliveries_1 (assignment_id=?"],
    "holding": [  # asked every two seconds: nothing in it may grow with what is over
        "SCAN tasks USING INDEX tasks_alarmed",
        "SCAN tasks USING INDEX tasks_held_back",
        "SCAN tasks USING INDEX tasks_late",
        "SCAN e USING INDEX escalations_running",
        "SEARCH s USING INDEX sqlite_autoindex_escalation_steps_1 (assignment_id=?)",
        "SCAN agents USING INDEX agents_dead",
        "SEARCH intake USING INDEX intake_outcome (outcome=? AND id>?)",
        GROUPED,
    ],
    "attention_due": ["SCAN tasks USING INDEX tasks_late"],
    "webhook_endpoints": ["SCAN agents USING INDEX agents_endpoints"],  # that is: exactly those who have one
    "forget_deliveries": ["SEARCH deliveries USING INDEX deliveries_sent_at (sent_at<?)"],
    "claim_silent": ["SEARCH agents USING COVERING INDEX agents_silent_at (silent_at<?)"],
    "next_ping_at": ["SEARCH assignments USING INDEX assignments_ping_at (ping_at>?)"],
    "next_deadline_at": ["SEARCH assignments USING COVERING INDEX assignments_deadline_at (deadline_at>?)"],
    "next_assign_at": ["SEARCH tasks USING COVERING INDEX tasks_assign_at (assign_at>?)"],
    "next_silent_at": ["SEARCH agents USING COVERING INDEX agents_silent_at (silent_at>?)"],
    "task_assignments": ["SEARCH assignments USING INDEX assignments_task (task_id=?)"],
    "task_history": ["SEARCH assignments USING INDEX assignments_task (task_id=?"],
    "token_found": ["SEARCH tokens USING INDEX tokens_prefix (prefix=?)"],
    "token_named": ["SEARCH tokens USING INDEX sqlite_autoindex_tokens_1 (name_key=?)"],
    "list_tokens": ["SEARCH tokens USING INDEX sqlite_autoindex_tokens_1 (name_key>?)"],
    "list_credentials": ["SEARCH credentials USING INDEX credentials_name ((holder,name_key)>(?,?))"],
    "audit_about": [
        "SEARCH audit USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH audit USING INDEX audit_aggregate (aggregate=? AND aggregate_id=? AND seq>?)",
    ],
    "task_comments": ["SEARCH comments USING INDEX comments_task (task_id=?)"],
    "task_todos": ["SEARCH todos USING INDEX todos_task (task_id=?)"],
    "task_phases": ["SEARCH phases USING INDEX phases_task (task_id=?)"],
    "assignment_todos": [
        "SEARCH a USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH t USING INDEX todos_task (task_id=?)",
    ],
    "assignment_phases": [
        "SEARCH a USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH p USING INDEX phases_task (task_id=?)",
    ],
    "update_todo": ["SEARCH todos USING INTEGER PRIMARY KEY"],
    "update_phase": ["SEARCH phases USING INTEGER PRIMARY KEY"],
    "task_steps": [
        "SEARCH a USING COVERING INDEX assignments_task",
        "SEARCH s USING INDEX sqlite_autoindex_escalation_steps",
    ],
    "task_pings": [
        "SEARCH a USING COVERING INDEX assignments_task (task_id=?)",
        "SEARCH p USING INDEX sqlite_autoindex_pings_1 (assignment_id=?)",
        SORTED,
    ],
    "task_dependencies": ["SEARCH task_dependencies USING COVERING INDEX sqlite_autoindex_task_dep"],
    "agent_assignments": ["SEARCH assignments USING INDEX assignments_agent (agent=?)"],
    "agent_notices": [
        "SEARCH n USING INDEX notices_agent (agent=?)",
        "SEARCH a USING INTEGER PRIMARY KEY",
        SORTED,
    ],
    "list_tasks": [
        "SEARCH tasks USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH tasks USING INDEX tasks_status (status=? AND id>?)",
        "SEARCH tasks USING INDEX tasks_agent (agent=? AND id>?)",
    ],
    "list_assignments": [
        "SEARCH assignments USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH a USING INDEX assignments_open (task_id>?)",  # that is: exactly those that are open
        "SEARCH assignments USING INDEX assignments_agent (agent=? AND rowid>?)",
    ],
    "claim_reminders": ["SEARCH reminders USING COVERING INDEX reminders_due_at (due_at<?)"],
    "next_reminder_at": ["SEARCH reminders USING COVERING INDEX reminders_due_at (due_at>?)"],
    "due_reminder": [
        "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "update_reminder": ["SEARCH reminders USING INTEGER PRIMARY KEY"],
    "task_reminders": ["SEARCH reminders USING INDEX reminders_task (task_id=?)"],
    "list_reminders": [
        "SEARCH reminders USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH r USING COVERING INDEX reminders_due_at (due_at>?)",
    ],
    "forget_reminders": ["SEARCH reminders USING COVERING INDEX reminders_ended_at (ended_at<?)"],
    "list_comments": [
        "SEARCH comments USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH comments USING INDEX comments_task (task_id=? AND id>?)",
    ],
    "list_notices": [
        "SEARCH notices USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH notices USING INDEX notices_agent (agent=? AND id>?)",
    ],
    "list_escalations": [
        "SEARCH e USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH e USING INDEX escalations_running (id>?)",
        "SEARCH x USING COVERING INDEX escalations_ended_at (ended_at>?)",
        "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "escalation_numbered": ["SEARCH e USING INTEGER PRIMARY KEY", "SEARCH t USING INTEGER PRIMARY KEY"],
    "escalation_steps": [
        "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH a USING INDEX assignments_task (task_id=?)",
        "SEARCH s USING INDEX sqlite_autoindex_escalation_steps_1 (assignment_id=?)",
    ],
    "open_assignments": ["SEARCH assignments USING INTEGER PRIMARY KEY (rowid>?)"],
    "assignment_pings": ["SEARCH pings USING INDEX sqlite_autoindex_pings_1 (assignment_id=?)"],
    "due_doubts": [
        "SEARCH d USING INDEX doubts_ask_at (ask_at<?)",
        "SEARCH o USING COVERING INDEX sqlite_autoindex_outbox_1 (slot=?)",
    ],
    "standing_doubts": ["SEARCH d USING INDEX sqlite_autoindex_doubts_1 (assignment_id=? AND attempt=?)"],
    "end_doubt": ["SEARCH doubts USING INDEX sqlite_autoindex_doubts_1 (assignment_id=? AND attempt=?)"],
    "ask_again": ["SEARCH doubts USING INDEX sqlite_autoindex_doubts_1 (assignment_id=? AND attempt=?)"],
    "unsent": ["SEARCH outbox USING INDEX outbox_created_at (created_at<?)"],
    "standing_posts": ["SEARCH outbox USING INTEGER PRIMARY KEY"],
    "audit_page": ["SEARCH audit USING INTEGER PRIMARY KEY (rowid>?)"],
    "audit_of": ["SEARCH audit USING INDEX audit_aggregate (aggregate=? AND aggregate_id=? AND seq>?)"],
    "tally_assignments": [],
    "newest_stamps": ["processes_bus_ok_at", "processes_alive_at", "processes_server"],
    "due": ["assignments_ping_at", "assignments_deadline_at", "outbox_created_at"],
    "note_vitals": ["SEARCH processes USING INDEX sqlite_autoindex_processes_1 (id=?)"],
    "forget_commands": ["SEARCH commands USING INDEX commands_created_at (created_at<?)"],
    "forget_pings": [
        "SEARCH p USING INDEX pings_sent_at (sent_at<?)",
        "SEARCH a USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "forget_notices": [
        "SEARCH n USING INTEGER PRIMARY KEY (rowid<?)",
        "SEARCH a USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "forget_tokens": ["SEARCH tokens USING INDEX tokens_expires_at (expires_at<?)"],
    "forget_credentials": ["SEARCH credentials USING INDEX credentials_expires_at (expires_at<?)"],
    "forget_processes": ["SEARCH processes USING INDEX processes_alive_at (alive_at<?)"],
    "last_audit": [],
    "life": ["SEARCH meta USING INDEX sqlite_autoindex_meta_1 (key=?)"],
    "incarnation": ["SEARCH meta USING INDEX sqlite_autoindex_meta_1"],
}
# A loop over the keys that were given, over an index that holds only what is asked for, or to the last row.
GIVEN = re.compile(
    r"SCAN (CONSTANT ROW|audit|json_each|t|latest|oldest|lease"
    r"|agents USING INDEX agents_(able|unpinged|endpoints|unreachable|dead)|brakes USING INDEX brakes_open"
    r"|assignments USING INDEX assignments_(exhausted|quarantined|human)|e USING INDEX escalations_running"
    r"|tasks USING INDEX tasks_(alarmed|held_back|late)|alarms|notify_ways"
    r"|processes USING COVERING)\b"
)
SMALL = {"tally_assignments"}  # reads the open assignments, at an operator's word


async def plan(store: SqliteStore, query: Query) -> list[str]:
    text = f"EXPLAIN QUERY PLAN {query.text}"
    params = [None] * len(query.params)
    rows = await store._reading.call(lambda connection: connection.execute(text, params).fetchall())
    return [row[3] for row in rows]


@pytest.mark.parametrize("name", PLANS)
async def test_a_hot_query_has_its_index(store: SqliteStore, name: str) -> None:
    steps = await plan(store, QUERIES[name])
    for expected in PLANS[name]:
        assert any(expected in step for step in steps), steps
    if name not in SMALL:
        assert not [step for step in steps if step.startswith("SCAN") and not GIVEN.match(step)], steps
    sorts = [step for step in steps if "TEMP B-TREE" in step and ALIKE not in step]
    assert not sorts or {SORTED, GROUPED} & set(PLANS[name]) or name in SMALL, steps


async def test_every_claim_and_load_has_a_plan_to_keep() -> None:
    hot = {name for name in QUERIES if name.startswith(("claim_", "load_", "next_", "task_"))}
    assert hot <= set(PLANS)


@pytest.mark.parametrize("name", QUERIES)
async def test_every_query_can_be_prepared(store: SqliteStore, name: str) -> None:
    assert isinstance(await plan(store, QUERIES[name]), list)
    assert QUERIES[name].why.endswith((".", ";", ",")) or QUERIES[name].why[0].isupper()


async def test_lists_come_in_pages_by_every_filter(store: SqliteStore) -> None:
    await fill(store, 5)

    async def listed(**given: object) -> list[int]:
        params = {"status": None, "agent": None, "after": 0, "limit": 9} | given
        return [found.id for found in await store.rows("list_tasks", **params)]

    assert await listed() == [1, 2, 3, 4, 5]
    assert await listed(after=2, limit=2) == [3, 4]
    assert await listed(status="in_progress", after=3) == [4, 5]
    assert await listed(status="todo") == []
    assert await listed(agent="A3") == [3]
    assert await listed(agent="a3", status="in_progress") == [3]
    assert await listed(agent="a3", status="done") == []
    assert await listed(agent="nobody") == []


async def test_the_whole_at_a_glance(store: SqliteStore) -> None:
    await fill(store, 3, ping_at=7, deadline_at=9)
    tallies = {
        name: {row.name: row.count for row in await store.rows(name)}
        for name in ("tally_tasks", "tally_assignments", "tally_agents")
    }
    assert tallies == {
        "tally_tasks": {"in_progress": 3},
        "tally_assignments": {"pending": 3},
        "tally_agents": {"offline": 3, "ready": 1},
    }
    figures = (await store.rows("figures"))[0]
    assert (figures.ping_at, figures.deadline_at, figures.exhausted, figures.outbox) == (7, 9, 0, 2)
    assert [row.id for row in await store.rows("open_assignments", after=1, limit=1)] == [2]
    assert [row.id for row in await store.rows("agent_assignments", agent="a2")] == [2]


def test_both_engines_have_the_same_queries() -> None:
    postgres = queries("pg")
    assert postgres.keys() == QUERIES.keys()
    for name, query in postgres.items():
        assert set(query.params) == set(QUERIES[name].params), name
        assert "json_each" not in query.text
        assert "sqlite" not in query.text
        assert "/*" not in query.text
    assert postgres["claim_pings"].text.count("$") == 2
    assert "FOR UPDATE SKIP LOCKED" in postgres["claim_pings"].text
    assert "SKIP LOCKED" not in QUERIES["claim_pings"].text


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("-- name: a\nSELECT 1;\n", "why"),
        ("-- name: a -> Nothing\n-- Why.\nSELECT 1;\n", "no record Nothing"),
        ("-- name: a\n-- Why.\nSELECT {columns};\n", "needs a record"),
    ],
)
def test_a_query_that_is_written_wrong_is_refused(source: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        list(parse(source, "sqlite"))


def test_the_loader_opens_fields_and_counts_parameters() -> None:
    head = "-- name: a <- Hold\n-- Why.\n-- And more.\n"
    source = "UPDATE holds SET {changes but start_at} WHERE start_at = :start_at;\n"
    found = next(parse(head + source, "sqlite"))
    assert found.text == "UPDATE holds SET end_at = ?1 WHERE start_at = ?2"
    assert (found.params, found.why, found.record) == (("end_at", "start_at"), "Why.", None)
    other = next(
        parse("-- name: b -> Hold\n-- Why.\nSELECT {h.columns} FROM holds h WHERE :x = :x AND 'a:b';\n", "pg")
    )
    assert other.text == "SELECT h.start_at, h.end_at FROM holds h WHERE $1 = $1 AND 'a:b'"


def test_two_queries_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("a.sql", "b.sql"):
        (tmp_path / name).write_text("-- name: a\n-- Why.\nSELECT 1;\n")
    monkeypatch.setattr("store.sql._sql_files", lambda _: sorted(tmp_path.iterdir()))
    queries.cache_clear()
    try:
        with pytest.raises(ValueError, match="two queries are named a"):
            queries("sqlite")
    finally:
        queries.cache_clear()
