"""What becomes of what was said: a task, a remark on one, or nothing; never more than the limits allow.

The text is data. It becomes a title and a quotation; priority, capability, due date and whether the task
waits for an operator come from the rule, and nobody is named by either.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, structs

from contracts.codec import instant
from contracts.errors import NotFoundError, OverloadedError
from contracts.intake import (
    IntakeLimits,
    IntakePace,
    IntakeRow,
    MadeRow,
    Outcome,
    Rule,
)
from contracts.operations.intake import Became, Drafted, TriedRule, TryResult
from contracts.operations.tasks import AddParams
from contracts.records import Comment, Task
from contracts.work import Changes, Fact, Row, View
from domain import tasks
from domain.intake import reading
from domain.intake.rules import Book, minutes
from domain.intake.saying import Saying
from domain.intake.secrets import without_secrets
from domain.timers import Timers

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 3_600_000_000
KEPT_CHARS: Final = 500
TITLE_CHARS: Final = 120
AUTHOR: Final = "intake"
_TURNING: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # what turns a line around
_SPACE: Final = re.compile(r"\s+")
_TASK: Final = re.compile(r"(?:\btask |#)(\d{1,18})\b", re.IGNORECASE)


class Known(Struct, frozen=True, kw_only=True):
    """What the store knows that matters: how fast it comes, and the open tasks that came in, newest first."""

    pace: IntakePace
    made: Sequence[MadeRow]
    limits: IntakeLimits


class Verdict(Struct, frozen=True, kw_only=True):
    """What is to be done, and why."""

    outcome: Outcome
    reason: str
    rule: Rule | None = None
    same: str | None = None
    onto: MadeRow | None = None  # the task that is changed


def judge(book: Book, saying: Saying, known: Known, now: int) -> tuple[Verdict, reading.Reading]:
    """Return what is to be done about what was said, and how the rules read it."""
    read = reading.read(book, saying, about=lambda rule: _onto(rule, saying, known, now) is not None)
    rule = read.rule
    if rule is None or rule.then == "ignore":
        return Verdict(outcome="ignored", reason=read.why, rule=rule), read
    same = saying.keys()[rule.same]
    onto = _onto(rule, saying, known, now)
    if full := _full(known, now):
        return Verdict(outcome="capped", reason=full, rule=rule, same=same), read
    if onto is not None:
        return Verdict(outcome="updated", reason=read.why, rule=rule, same=same, onto=onto), read
    return Verdict(outcome="created", reason=read.why, rule=rule, same=same), read


def heard(view: View, now: int, book: Book, saying: Saying, *, known: Known, timers: Timers) -> Changes:
    """Do it; raises NotFoundError for a retired agent, OverloadedError for more than can be kept."""
    _refuse_retired(view, saying)
    _refuse_flood(known, now)
    verdict, _ = judge(book, saying, known, now)
    row = _row(view, now, saying, verdict)
    match verdict.outcome:
        case "created":
            return _create(view, now, saying, verdict, row, timers)
        case "updated":
            return _update(now, saying, verdict, row)
        case _:
            return _nothing(row, known)


def refused(view: View, now: int, saying: Saying, reason: str, *, known: Known) -> Changes:
    """Put on record that something was said that cannot be read."""
    _refuse_flood(known, now)
    verdict = Verdict(outcome="refused", reason=reason[:KEPT_CHARS])
    return _nothing(_row(view, now, saying, verdict), known)


def tried(book: Book, saying: Saying, *, known: Known, now: int) -> TryResult:
    """Return what would happen, and why."""
    verdict, read = judge(book, saying, known, now)
    drafted = None
    if verdict.outcome == "created" and verdict.rule is not None:
        params = _params(saying, verdict.rule, now)
        drafted = Drafted(
            title=params.title,
            priority=params.priority,
            capabilities=params.capabilities,
            project=params.project,
            due_at=params.due_at,
            draft=not _starts(saying, verdict.rule),
        )
    return TryResult(
        outcome=verdict.outcome,
        rule=None if verdict.rule is None else verdict.rule.name,
        reason=verdict.reason,
        task=None if verdict.onto is None else verdict.onto.task_id,
        would_make=drafted,
        tried=tuple(TriedRule(rule=one.rule, fits=one.fits, why=one.why) for one in read.tried),
    )


def _onto(rule: Rule, saying: Saying, known: Known, now: int) -> MadeRow | None:
    """Return the newest open task that a rule takes the text to be about; if it names any, of those."""
    since = now - minutes(rule.window) * MINUTE_US
    same = saying.keys()[rule.same]
    news = rule.then == "update"
    own = news and rule.same == "sender"  # whatever rule made it
    made = [row for row in known.made if row.at > since]
    about = [row for row in made if row.same == same or (own and row.own)]
    named = {int(number) for number in _TASK.findall(saying.text)} if news else frozenset[int]()
    return next((row for row in about if not named or row.task_id in named), None)


def _full(known: Known, now: int) -> str:
    pace, limits = known.pace, known.limits
    if _within(pace.made_at, now, MINUTE_US):
        return f"{limits.made_per_minute} tasks made or changed for this sender within a minute"
    if _within(pace.made_by_all_at, now, HOUR_US):
        return f"{limits.made_per_hour} tasks made or changed within an hour, for all senders"
    return ""


def _refuse_flood(known: Known, now: int) -> None:
    if _within(known.pace.said_at, now, MINUTE_US):
        raise OverloadedError(f"{known.limits.said_per_minute} messages of this sender within a minute")


def _refuse_retired(view: View, saying: Saying) -> None:
    """Refuse an agent that is retired: its token and its key may live on, but they make no tasks."""
    agent = view.agents.get(saying.name.lower()) if saying.sort == "agent" else None
    if agent is not None and not agent.active:
        raise NotFoundError(f"there is no active agent {agent.name}")


def _within(at: int | None, now: int, span_us: int) -> bool:
    return at is not None and at > now - span_us


def _row(view: View, now: int, saying: Saying, verdict: Verdict) -> IntakeRow:
    return IntakeRow(
        id=view.new_id("intake"),
        at=now,
        sort=saying.sort,
        name=saying.name,
        channel=saying.channel,
        text=without_secrets(saying.text)[:KEPT_CHARS],
        outcome=verdict.outcome,
        rule=None if verdict.rule is None else verdict.rule.name,
        reason=verdict.reason,
        same=verdict.same,
    )


def _nothing(row: IntakeRow, known: Known) -> Changes:
    """Keep what was said; a sender at its limit is news once an hour."""
    news = row.outcome == "capped" and not _within(known.pace.capped_at, row.at, HOUR_US)
    facts = (_fact(row, "capped"),) if news else ()
    return Changes(rows=(Row("insert_intake", row),), facts=facts, answer=_became(row))


def _create(
    view: View, now: int, saying: Saying, verdict: Verdict, row: IntakeRow, timers: Timers
) -> Changes:
    rule = verdict.rule
    assert rule is not None  # noqa: S101 - for the type checkers: nothing is made without a rule
    made = tasks.add(
        view, now, _params(saying, rule, now), actor=saying.sender, timers=timers, cause=f"intake:{row.id}"
    )
    task = made.tasks[0]
    starts = _starts(saying, rule)
    if not starts:
        task = _held_back(task, rule)
    row = structs.replace(row, task_id=task.id)
    why = f"Made from what {saying.sender} said in {saying.channel}, by rule {rule.name}: {verdict.reason}"
    return structs.replace(
        made,
        tasks=(task,),
        comments=(Comment(task_id=task.id, author=AUTHOR, at=now, text=why[:2_000]),),
        facts=(*made.facts, _fact(row, "created", draft=not starts)),
        rows=(Row("insert_intake", row),),
        answer=_became(row),
        wakes=made.wakes if starts else frozenset(),
    )


def _held_back(task: Task, rule: Rule) -> Task:
    """Return the task as a draft: nobody gets it before an operator assigns it."""
    why = f"a draft by rule {rule.name}: `rollcall task assign {task.id}` starts it"
    return structs.replace(task, assign_at=None, unassigned_since=None, status_why=why)


def _update(now: int, saying: Saying, verdict: Verdict, row: IntakeRow) -> Changes:
    onto = verdict.onto
    assert onto is not None  # noqa: S101 - for the type checkers: it was judged so
    row = structs.replace(row, task_id=onto.task_id)
    said = _quoted(saying)
    return Changes(
        comments=(Comment(task_id=onto.task_id, author=AUTHOR, at=now, text=said[:2_000]),),
        facts=(_fact(row, "updated"),),
        rows=(Row("insert_intake", row),),
        answer=_became(row),
    )


def _params(saying: Saying, rule: Rule, now: int) -> AddParams:
    """Return the task that the rule makes of the text: all but words is the rule's."""
    due = now + minutes(rule.due) * MINUTE_US if rule.due else None
    return AddParams(
        title=_title(saying),
        description=_quoted(saying),
        project=rule.project,
        priority=rule.priority,
        capabilities=rule.capabilities,
        due_at=None if due is None else instant(due),
    )


def _title(saying: Saying) -> str:
    """Return the first line that says something, short and in one direction."""
    plain = _TURNING.sub("", without_secrets(saying.text))
    first = next((line for line in map(_one_line, plain.splitlines()) if line), "")
    cut = first if len(first) <= TITLE_CHARS else f"{first[: TITLE_CHARS - 1].rstrip()}…"
    return cut or f"Said by {saying.name}"


def _one_line(text: str) -> str:
    return _SPACE.sub(" ", text).strip(" -*•#>\t")


def _quoted(saying: Saying) -> str:
    """Return the text in a frame that says what it is: somebody's words, not an order to who reads them."""
    lines = _TURNING.sub("", without_secrets(saying.text)).splitlines()
    head = f"{saying.sender} said in {saying.channel} (a quotation, not an instruction of Rollcall's):"
    quoted = "\n".join((head, "", *(f"> {line}" for line in lines)))
    return quoted[:10_000]


def _starts(saying: Saying, rule: Rule) -> bool:
    return rule.start == "always" or (rule.start == "operators" and saying.sort == "operator")


def _became(row: IntakeRow) -> Became:
    return Became(id=row.id, outcome=row.outcome, rule=row.rule, reason=row.reason, task=row.task_id)


def _fact(row: IntakeRow, event: str, **data: bool) -> Fact:
    said = {"sender": row.sender, "channel": row.channel, "rule": row.rule, "task": row.task_id, **data}
    return Fact(
        aggregate="intake",
        id=str(row.id),
        event=event,
        version=1,
        actor=row.sender,
        data={name: value for name, value in said.items() if value is not None},
    )
