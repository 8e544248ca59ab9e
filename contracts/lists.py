"""Rows that are only listed: under a number that no decision needs, or from several tables."""

from contracts.records import Comment, Escalation, NoticeRow


class CommentLine(Comment, frozen=True, kw_only=True, gc=False):
    """A comment under its number."""

    id: int


class NoticeLine(NoticeRow, frozen=True, kw_only=True, gc=False):
    """A notice under its number."""

    id: int


class EscalationLine(Escalation, frozen=True, kw_only=True, gc=False):
    """An escalation, and where its task stands now."""

    title: str
    agent: str | None
    assignment_id: int | None
