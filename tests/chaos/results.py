"""The figures of a run, and whether every promise was kept."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

from tests.chaos.checker import PROMISES, check
from tests.chaos.evidence import Evidence
from tests.chaos.history import ANSWERS
from tests.chaos.killer import BETWEEN, INSIDE
from tests.chaos.stage import SCALE, Order, Outcome, versions

SHOWN: Final = 5


def proven(outcome: Outcome) -> tuple[int, int]:
    """Count the kills that were, by their marks, inside a transaction, and between commit and PubAck.

    Inside: the connection was in a transaction and had written. Between: the posts were not acknowledged, and
    whatever they tell is in the store.
    """
    committed = _committed(outcome.evidence)
    inside = between = 0
    for mark in outcome.counts.marks:
        if mark["point"] in INSIDE:
            inside += bool(mark["in_transaction"] and mark["rows"])
        elif mark["point"] in BETWEEN:
            told = {name for name in mark["ids"] if name.startswith(("evt:", "ping:"))}
            between += bool(told) and told <= committed
    return inside, between


def _committed(seen: Evidence) -> set[str]:
    """Return the ids of all events and pings that the store has ever committed."""
    events = {f"evt:{row['incarnation']}:{row['seq']}" for row in seen.tables["audit"]}
    pings = {
        f"ping:{row['incarnation']}:{row['assignment_id']}:{row['attempt']}" for row in seen.tables["pings"]
    }
    return events | pings


def _back_in_time(seen: Evidence) -> dict[str, float]:
    """Return how many audit rows are older than one before them, and by how much: good to know."""
    rows, most, last = 0, 0, 0
    for row in seen.tables["audit"]:
        rows += row["at"] < last
        most = max(most, last - row["at"])
        last = max(last, row["at"])
    return {"rows": rows, "by at most s": round(most / 1e6, 3)}


def result(order: Order, outcome: Outcome, command: str) -> dict[str, Any]:
    """Return the figures, ready to be written."""
    verdict = check(outcome.evidence)
    inside, between = proven(outcome)
    kills = outcome.counts.kills
    frozen = [seconds for _, seconds in outcome.counts.frozen]
    types = Counter(
        entry.type for entry in outcome.evidence.history if entry.op in ANSWERS and entry.type != "invoke"
    )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "seed": order.seed,
        "versions": versions(),
        "durability": "full",
        "seconds": round(outcome.seconds, 1),
        "kills": {
            "total": kills.total(),
            "nats-server": kills["server"],
            "inside a transaction": inside,
            "between commit and PubAck": between,
            "elsewhere by name": sum(kills[f"point:{point}"] for point in ("confirm", "settle", "reply")),
            "all services at once, times": outcome.counts.outages,
            "by kind": dict(sorted(kills.items())),
        },
        "stops": {
            "total": len(frozen),
            "by service": dict(Counter(service for service, _ in outcome.counts.frozen)),
            "shortest s": round(min(frozen, default=0.0), 2),
            "of nats-server besides": len(outcome.counts.hung),
            "accept-by and progress-by s": round(1800 * SCALE, 2),
        },
        "disk full": {
            name: outcome.counts.full[name] if disk.own else f"not made: {disk.why_not}"
            for name, disk in outcome.disks.items()
        },
        "refused for want of space": {
            "store": outcome.fleet.said["disk is full"],
            "bus": outcome.bus_complaints,
        },
        "answers": {
            "acknowledged": _acknowledged(outcome.evidence),
            "ok": types["ok"],
            "refused": types["fail"],
            "unknown, asked again": types["unknown"],
        },
        "commands asked again at the end": outcome.again,
        "corrupt messages": outcome.thrown,
        "tasks": len(outcome.evidence.tables["tasks"]),
        "assignments": len(outcome.evidence.tables["assignments"]),
        "escalated": sum(row["end_reason"] == "timed_out" for row in outcome.evidence.tables["assignments"]),
        "events": len(outcome.evidence.tables["audit"]),
        "audit rows older than one before them": _back_in_time(outcome.evidence),
        "mailboxes that end with a ping about what has ended": outcome.evidence.stale_mailboxes(),
        "pings heard": len(outcome.evidence.heard_on("ping")),
        "dead letters": len(outcome.evidence.letters),
        "lost": len(verdict["nothing_lost"]),
        "double owners": len(verdict["one_owner"]),
        "events without commit": len(verdict["no_event_without_commit"]),
        "double effects": len(verdict["effects_once"])
        + len(verdict["one_successor"])
        + len(verdict["pings_once"]),
        "broken": {name: len(faults) for name, faults in verdict.items()},
        "faults": {name: faults[:SHOWN] for name, faults in verdict.items() if faults},
        "unrest": outcome.unrest,
        "exits": {"of services": dict(outcome.fleet.exits), "at the end": outcome.exits},
        "complaints": dict(outcome.fleet.said),
        "crashes": outcome.fleet.crashes,
    }


def _acknowledged(seen: Evidence) -> int:
    return len(
        {
            (entry.process, entry.command)
            for entry in seen.history
            if entry.op in ANSWERS and entry.type in ("ok", "fail")
        }
    )


def kept(found: dict[str, Any]) -> bool:
    """Tell whether every promise was kept."""
    ended_well = set(found["exits"]["at the end"]) <= {0}
    return not any(found["broken"].values()) and not found["unrest"] and not found["crashes"] and ended_well


def summary(found: dict[str, Any]) -> list[str]:
    """Return the figures for a person."""
    kills, stops, answers = found["kills"], found["stops"], found["answers"]
    times = ", ".join(f"{name} {times}" for name, times in found["disk full"].items())
    lines = [
        f"{kills['total']} kill -9, {kills['nats-server']} of them of nats-server",
        f"    proven inside a transaction {kills['inside a transaction']}",
        f"    proven between commit and PubAck {kills['between commit and PubAck']}",
        f"{stops['total']} SIGSTOPs of services of at least {stops['shortest s']} s",
        f"    and {stops['of nats-server besides']} of nats-server; full disk: {times}",
        f"{answers['acknowledged']} answers acknowledged in {found['seconds']:.0f} s",
        f"    {answers['unknown, asked again']} times unknown and asked again",
        f"{found['corrupt messages']} corrupt messages",
        f"{found['lost']} lost, {found['double owners']} double owners",
        f"{found['events without commit']} events without commit, {found['double effects']} double effects",
        "",
    ]
    for name, promise in PROMISES.items():
        lines.append(
            f"  {'BROKEN' if found['broken'][name] else 'kept  '}  {(promise.__doc__ or '').strip()}"
        )
        lines += [f"            {fault}" for fault in found["faults"].get(name, ())]
    if found["unrest"]:
        lines.append(f"  BROKEN  It did not come to rest: {found['unrest']}")
    lines += [f"  BROKEN  A service ended by itself: {text}" for text in found["crashes"][:SHOWN]]
    return lines
