"""The rules and the record, kept and shown."""

from collections.abc import Sequence

from contracts.codec import instant
from contracts.errors import NotFoundError
from contracts.intake import IntakeRow, Rule, RulebookRow
from contracts.operations.intake import (
    BookView,
    IntakeView,
    ListResult,
    RuleListResult,
    RuleSetParams,
    RuleView,
)
from contracts.work import Changes, Fact, Row, View
from domain.intake import rules
from domain.paging import following
from domain.versions import check

DEFAULTS = "rollcall"


def newest(rows: Sequence[RulebookRow], defaults: str) -> RulebookRow:
    """Return the rules that count; those that come with Rollcall are version 0."""
    return rows[0] if rows else RulebookRow(version=0, text=defaults, set_at=0, set_by=DEFAULTS)


def write(_: View, now: int, params: RuleSetParams, *, actor: str, rows: Sequence[RulebookRow]) -> Changes:
    """Let these rules count from now on; raises InvalidError where they cannot be read."""
    book = rules.read(params.toml)
    before = rows[0].version if rows else 0
    check(params.expected_version, before)
    row = RulebookRow(version=before + 1, text=params.toml, set_at=now, set_by=actor)
    fact = Fact(
        aggregate="rules",
        id="intake",
        event="changed",
        version=row.version,
        actor=actor,
        data={"rules": [rule.name for rule in book.rules]},
    )
    return Changes(rows=(Row("insert_rulebook", row),), facts=(fact,), answer=shown(row))


def shown(row: RulebookRow) -> BookView:
    """Return rules as they were written, for readers."""
    return BookView(
        version=row.version,
        toml=row.text,
        set_at=instant(row.set_at) if row.version else None,
        set_by=row.set_by,
    )


def found(rows: Sequence[RulebookRow], version: int | None, defaults: str) -> BookView:
    """Return the rules of a version, or those that count."""
    if not version:
        return shown(newest(rows if version is None else (), defaults))
    if not rows:
        raise NotFoundError(f"there are no rules of version {version}")
    return shown(rows[0])


def listed(row: RulebookRow) -> RuleListResult:
    """Return the rules one by one, in their order."""
    return RuleListResult(version=row.version, items=tuple(map(_rule, rules.read(row.text).rules)))


def record(rows: Sequence[IntakeRow], limit: int) -> ListResult:
    """Return a page of what was said, newest first."""
    return ListResult(items=tuple(map(_intake, rows)), next=following(rows, limit))


def _rule(rule: Rule) -> RuleView:
    return RuleView(
        name=rule.name,
        then=rule.then,
        priority=rule.priority,
        start=rule.start,
        looks_for=_looks_for(rule),
        why=rule.why,
    )


def _looks_for(rule: Rule) -> str:
    parts = [
        f"any of {len(rule.any)} phrases" if rule.any else "",
        f"all of {', '.join(rule.all)}" if rule.all else "",
        f"none of {len(rule.none)} phrases" if rule.none else "",
        "" if rule.question is None else ("a question" if rule.question else "no question"),
        f"{rule.actions} actions" if rule.actions else "",
        f"{rule.minutes} minutes" if rule.minutes else "",
        f"from {', '.join(rule.senders)}" if rule.senders else "",
        f"in {', '.join(rule.channels)}" if rule.channels else "",
    ]
    return ", ".join(filter(None, parts)) or "whatever is said"


def _intake(row: IntakeRow) -> IntakeView:
    return IntakeView(
        id=row.id,
        at=instant(row.at),
        sender=row.sender,
        channel=row.channel,
        text=row.text,
        outcome=row.outcome,
        rule=row.rule,
        reason=row.reason,
        task=row.task_id,
    )
