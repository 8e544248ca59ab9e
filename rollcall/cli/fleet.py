"""What is known of the fleet: a snapshot, and what was heard since; every fact with its instant."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from rollcall.cli.tree import array_of, is_object, object_of

SILENT: Final = timedelta(seconds=7)  # a service that told nothing for two ticks and the vitals' interval
_COUNTED: Final = frozenset({"assignment", "task"})  # events that change numbers which only a snapshot has
_URGENCY: Final = (
    *("dead_failed_revive", "dead", "restarting", "suspect", "stalled"),
    *("waiting", "working", "busy", "ready", "offline"),
)


class Fleet:
    """The model behind the screen; it knows no clock and no bus."""

    def __init__(self, expected: Sequence[str]) -> None:
        """Know nothing yet; these services should run."""
        self.expected = tuple(expected)
        self.agents: dict[str, dict[str, Any]] = {}
        self.counts: dict[str, Any] = {}  # the answer of system.status
        self.services: dict[tuple[str, str], dict[str, Any]] = {}
        self.alarms: dict[str, dict[str, Any]] = {}
        self.as_of: datetime | None = None  # of the snapshot
        self.heard_at: datetime | None = None  # the last event
        self.lost_at: datetime | None = None  # since when the bus is away
        self.deaf: str = ""  # why the last snapshot failed
        self.stale = True  # something happened that only a new snapshot can tell
        self._told: dict[str, datetime] = {}  # of agents: the newest event

    def snapshot(self, agents: bytes, status: bytes, at: datetime) -> None:
        """Take what the monitor says of everything, as of `at`."""
        listed = (object_of(row) for row in array_of(object_of(msgspec.json.decode(agents)).get("items", [])))
        fresh = {str(row.get("name")): row for row in listed}
        for name, told_at in self._told.items():
            if name in fresh and told_at > at:  # it was heard after the snapshot was taken
                fresh[name] |= {key: self.agents[name][key] for key in _OF_EVENTS if key in self.agents[name]}
        self.agents = fresh
        self._told = {name: told_at for name, told_at in self._told.items() if told_at > at}
        self.counts = object_of(msgspec.json.decode(status))
        self.alarms = {str(row["name"]): row for row in _rows(self.counts.get("alarms"))}
        for vital in _rows(self.counts.get("services")):
            self.vital(vital)
        self.as_of, self.deaf, self.stale = at, "", False

    def heard(self, subject: str, data: bytes, at: datetime) -> None:
        """Take a message, on a subject without the root."""
        try:
            body = object_of(msgspec.json.decode(data))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return  # nobody of ours says that
        match subject.split("."):
            case ["vital", _, _]:
                self.vital(body)
            case ["evt", aggregate, name, event]:
                self.heard_at = at
                self._event(aggregate, name, event, body)
            case _:
                pass

    def vital(self, vital: dict[str, Any]) -> None:
        """Take what a process says of one of its services, if it is news."""
        key = str(vital.get("service")), str(vital.get("process"))
        known = self.services.get(key)
        if _at(vital, "at") is not None and (known is None or str(known["at"]) <= str(vital["at"])):
            self.services[key] = vital

    def silent(self, now: datetime) -> list[tuple[str, datetime | None]]:
        """Return the expected services that nobody has spoken for, and when somebody last did."""
        last: dict[str, datetime] = {}
        for (service, _), vital in self.services.items():
            at = _at(vital, "at")
            if at is not None and at > last.get(service, at - SILENT):
                last[service] = at
        return [
            (name, last.get(name)) for name in self.expected if name not in last or now - last[name] > SILENT
        ]

    def forget(self, now: datetime) -> None:
        """Let go of processes that are long gone, once others speak for their service."""
        living = {service for (service, _), vital in self.services.items() if not _old(vital, now)}
        self.services = {
            key: vital for key, vital in self.services.items() if not _old(vital, now) or key[0] not in living
        }

    def ordered(self) -> list[dict[str, Any]]:
        """Return the agents: whoever is in trouble first, then by name."""
        return sorted(
            self.agents.values(),
            key=lambda row: (urgency(str(row.get("status"))), str(row.get("name")).lower()),
        )

    def _event(self, aggregate: str, name: str, event: str, body: dict[str, Any]) -> None:
        more = object_of(body.get("data"))
        if aggregate == "agent":
            self._of_agent(name, event, body, more)
        elif aggregate == "system" and event == "alarm_raised":
            self.alarms[name] = {"name": name, "since": body.get("at"), **more}
        elif aggregate == "system" and event == "alarm_over":
            self.alarms.pop(name, None)
        elif aggregate in _COUNTED or aggregate == "system":
            self.stale = True

    def _of_agent(self, name: str, event: str, body: dict[str, Any], more: dict[str, Any]) -> None:
        at, row = _at(body, "at"), self.agents.get(name)
        if event != "status_changed" or row is None or at is None:
            self.stale = True
            return
        self._told[name] = at
        row |= {"status": more.get("status"), "status_since": body["at"], "status_why": more.get("why", "")}


_OF_EVENTS: Final = ("status", "status_since", "status_why")


def urgency(status: str) -> int:
    """Return the place of a status: the more somebody should look, the smaller."""
    return _URGENCY.index(status) if status in _URGENCY else len(_URGENCY)


def _rows(value: Any) -> list[dict[str, Any]]:
    return [object_of(row) for row in array_of(value or []) if is_object(row)]


def _at(row: dict[str, Any], key: str) -> datetime | None:
    """Return an instant of a row; one that is none is as good as absent."""
    try:
        found = datetime.fromisoformat(str(row.get(key)))
    except ValueError:
        return None
    return found if found.tzinfo else None


def _old(vital: dict[str, Any], now: datetime) -> bool:
    at = _at(vital, "at")
    return at is None or now - at > SILENT
