"""What each option means, and what to run next."""

from collections.abc import Mapping
from typing import Any, Final

from rollcall.cli.tree import array_of, is_array

HELP: Final = {
    "accept_minutes": "How long its agent may take to accept it.",
    "active": "Whether it may be given anything.",
    "after": "Begin after this: the `next` of the page before.",
    "agent": "An agent's name.",
    "aggregate": "Only changes of this kind of thing: task, assignment, agent, policy, token.",
    "all": "Also those that are not active, or have ended.",
    "assignable_by": "The agents that may hand it work (none named: any); operators always may.",
    "assignment": "The number of the assignment, as the ping says it.",
    "at": "When, such as 2026-01-31T12:00:00Z or 14:00.",
    "attempt": "The attempt of the ping that this answers.",
    "beats": "Whether it sends heartbeats; unless said, who has an address sends none, others do.",
    "channel": "Where it is said: a word, such as general.",
    "capability": "A word that the receiver has to have among its capabilities.",
    "capabilities": "What it can do, or what the task needs: words with commas, or the option again.",
    "capacity": "How many tasks it holds at once.",
    "command_id": "Repeat a command under its own id; it is carried out once.",
    "days": "For how many days it counts.",
    "holder": "What they are on the bus.",
    "keep_minutes": "How long the credentials of before still count, in minutes.",
    "depends_on": "Keys of tasks that must be done before: words with commas, or the option again.",
    "description": "All that its agent has to know.",
    "done": "Whether it is done.",
    "done_definitions": "By what one knows that it is done.",
    "due_at": "When it must be done, such as 2026-01-31T12:00:00Z.",
    "ended_since": "Those too that ended then or later, such as 2026-01-31T12:00:00Z.",
    "endpoint_url": "Where it is told over HTTP.",
    "every_minutes": "Again after so many minutes, and again.",
    "escalation": "The number of the escalation.",
    "exhausted": "Only those where nobody is left to turn to.",
    "expected_outputs": "What has to come out.",
    "final": "Nobody else can do it either: the task ends.",
    "id": "Only changes of the one with this number or name.",
    "in_minutes": "In so many minutes.",
    "incarnation": "The incarnation of the store that this answers.",
    "interval_s": "Seconds between its heartbeats.",
    "keep_hours": "For so many hours the old key signs too.",
    "kept_by": 'The only machine whose daemon may speak for its process; "": none may.',
    "key": "Your own name for it; the same key is not made twice.",
    "kind": "main_agent takes over in the end; sub_agent is any other.",
    "limit": "How many at most.",
    "minutes": "In how many minutes: 45, 30m or 1h30m.",
    "name": "Its name: letters, digits, _ and -.",
    "names": "Their names: words with commas, or the option again; without any, the whole fleet.",
    "next_steps_guide": "What comes after it.",
    "note": "What was done since the last note; only a new note restarts the clock.",
    "on": "What the wait is for.",
    "open": "Only what is not over.",
    "phase": "The number of the phase.",
    "ping_interval_minutes": "Minutes between pings.",
    "outcome": "Only what became this: created, updated, ignored, capped or refused.",
    "expected_version": "Of what version this is a change, else it is refused; 0: there is none yet.",
    "pings_enabled": "Whether its agent is pinged.",
    "policy": "The escalation policy.",
    "position": "At which place of the list, from 1; else at its end.",
    "priority": "P0 is the most urgent.",
    "prompt": "What its agent is told at the beginning.",
    "project": "What it belongs to.",
    "quarantined": "Whether it is kept from all work.",
    "reason": "Why, in your own words.",
    "reminder": "The number of the reminder.",
    "required": "Whether the task can only be completed once this is.",
    "result": "What came out, in your own words.",
    "resume_at": "When the wait will be over, such as 2026-01-31T12:00:00Z or 14:00.",
    "scope": "What it allows.",
    "sender": "As if said by this one.",
    "seq": "The number of the dead letter.",
    "session": "Which run of the agent this is; else ROLLCALL_SESSION, else as `rollcall join` left it here.",
    "sort": "As if said by an agent or an operator.",
    "state": "Only those in this state.",
    "status": "Only those in this state.",
    "steps": "retry, peer[:capability=WORD], main, notify[:who=NAME]; again for each step, or @FILE.",
    "task": "The number of the task.",
    "text": "What to say.",
    "timeout_minutes": "Minutes that it may take to accept an assignment.",
    "title": "What is to be done, in a few words.",
    "to": "Who should take it; without a name, Rollcall chooses.",
    "todo": "The number of the todo.",
    "toml": "The rules, as TOML.",
    "until": "Up to this number; without it, all.",
    "version": "Which version.",
    "way": "In which way: log, webhook, ntfy, slack or mail; without it, in each.",
    "who": "Whom, by name.",
}

HELP_OF: Final = {
    "presence.release.scope": "Which brake: fleet or machine:NAME; without it, all that are on.",
}
"""Where an option means something of its own."""

_PROGRESS: Final = 'rollcall progress {0} "what you did"   (or: rollcall done {0})'
_NEXT: Final = "rollcall next"
_BY_ITSELF: Final = "rollcall next   (it ends by itself, and you are asked; sooner: rollcall resume {0})"
_AFTER: Final = {
    "assignment.ack": _PROGRESS,
    "assignment.progress": _PROGRESS,
    "assignment.wait": "rollcall resume {0}   (when the wait is over)",
    "assignment.handoff": "rollcall next   (and stop working on it)",
    "assignment.snooze": "rollcall next   (or, to begin now: rollcall unsnooze {0})",
    "assignment.check": "rollcall plan {0}   (what is open)",
    "assignment.advance": "rollcall plan {0}   (what is open)",
    "assignment.plan": "rollcall check {0} TODO   (or: rollcall advance {0} PHASE)",
    "agent.say": "rollcall next",
    "agent.leave": "rollcall join   (when you are back)",
}
_OWED: Final = {
    "pending": "rollcall ack {0}   (or: rollcall decline {0})",
    "acknowledged": _PROGRESS,
    "waiting": "rollcall resume {0}   (when the wait is over; meanwhile: rollcall next)",
}
_URGENT: Final = {"pending": 0, "acknowledged": 1, "snoozed": 2, "waiting": 3}
_REFUSED: Final = {
    "superseded": "rollcall next   (and stop working on it)",
    "already_final": "rollcall next   (and stop working on it)",
    "not_found": "rollcall sync   (what you hold)",
    "not_allowed_now": "rollcall sync   (what you hold, and in which state)",
    "other_incarnation": "rollcall sync   (the store was restored)",
    "stale_session": "rollcall join   (a new session)",
    "rejoin_required": "rollcall join",
    "unfinished": "rollcall plan {0}   (what is open: rollcall check, rollcall advance)",
    "snooze_limit": "rollcall ack {0}   (or: rollcall decline {0})",
    "nobody_eligible": "rollcall release {0}   (or keep it)",
}
_UNKNOWN: Final = "ask an operator: rollcall agent add NAME   (your own name; then: rollcall join)"
_AGAIN: Final = "the same command again: it is carried out once"


def after(operation: str, body: Mapping[str, Any], result: Any) -> str:
    """Return what an agent runs next, after the result of what it asked with this body."""
    assignment = body.get("assignment", "")
    lease = result.get("lease") or most_urgent(result.get("leases"))
    if lease:
        return owed(lease)
    if operation in {"assignment.resume", "assignment.unsnooze"}:
        return _OWED.get(result.get("status"), _NEXT).format(assignment)
    if operation == "assignment.wait" and (body.get("resume_at") or body.get("on") == "rate_limit"):
        return _BY_ITSELF.format(assignment)
    return _AFTER.get(operation, _NEXT).format(assignment)


def owed(lease: Any) -> str:
    """Return what an agent runs next about a lease."""
    return _OWED.get(lease["status"], _NEXT).format(lease["assignment"])


def most_urgent(leases: Any) -> Any:
    """Return the lease to answer first: what is to be accepted, then what is being done; or None."""
    found = array_of(leases) if is_array(leases) else []
    return min(found, key=_urgency, default=None)


def _urgency(lease: Any) -> int:
    return _URGENT.get(lease["status"], len(_URGENT))


def after_refusal(problem: Mapping[str, Any], body: Mapping[str, Any], *, agent: bool) -> str:
    """Return what to run next after a refusal; agents are always told something."""
    code, seconds = problem["code"], problem.get("retry_after_s")
    if seconds:
        return f"the same command again in {seconds} s: nothing of it was done"
    if code == "nobody_answers":
        return "rollcall up   (or: rollcall doctor)"
    if agent and code == "not_found" and "assignment" not in body:
        return _UNKNOWN
    usual = _AGAIN if code in {"unavailable", "overloaded"} else _NEXT
    return _REFUSED.get(code, usual).format(body.get("assignment", "")) if agent else ""
