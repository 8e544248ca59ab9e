"""What people say in plain words: say, try, list; and the rules that read it."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from contracts.intake import Outcome, Rules, Said, Sort
from contracts.limits import Name
from contracts.operations.paging import Page
from contracts.operations.registry import Edit, Noun, Operation, Params, Route

Version = Annotated[int, Meta(ge=0, le=2**31)]


class SayParams(Params, frozen=True, kw_only=True):
    """Something said: the rules make a task of it, a remark on one, or nothing."""

    text: Said
    channel: Name = "direct"


class Became(Struct, frozen=True, kw_only=True):
    """What became of it: the rule that decided, and why."""

    id: int
    outcome: str
    rule: str | None
    reason: str
    task: int | None


class TryParams(Struct, frozen=True, kw_only=True):
    """Ask what would become of a text, by the rules that count or by those given; nothing is kept."""

    text: Said
    channel: Name = "direct"
    sender: Name | None = None  # whoever asks
    sort: Sort = "operator"
    toml: Rules | None = None


class Drafted(Struct, frozen=True, kw_only=True):
    """The task that would be made."""

    title: str
    priority: str
    capabilities: tuple[str, ...]
    project: str
    due_at: datetime | None
    draft: bool  # an operator has to assign it before anybody gets it


class TriedRule(Struct, frozen=True, kw_only=True):
    """One rule held against the text."""

    rule: str
    fits: bool
    why: str


class TryResult(Struct, frozen=True, kw_only=True):
    """What would happen, and why: each rule up to the one that decides."""

    outcome: str
    rule: str | None
    reason: str
    task: int | None  # the one that would be changed
    would_make: Drafted | None
    tried: tuple[TriedRule, ...]


class ListParams(Page, frozen=True, kw_only=True):
    """What was said, newest first, a page at a time."""

    outcome: Outcome | None = None


class IntakeView(Struct, frozen=True, kw_only=True):
    """Something that was said, and what became of it; of long texts the beginning, without secrets."""

    id: int
    at: datetime
    sender: str
    channel: str
    outcome: str
    rule: str | None
    task: int | None
    text: str
    reason: str


class ListResult(Struct, frozen=True, kw_only=True):
    """A page of what was said; `next` is the `after` of the following page."""

    items: tuple[IntakeView, ...]
    next: int | None


class RuleListParams(Struct, frozen=True, kw_only=True):
    """List the rules in their order."""


class RuleView(Struct, frozen=True, kw_only=True):
    """One rule, in short."""

    name: str
    then: Literal["create", "update", "ignore"]
    priority: str
    start: str
    looks_for: str
    why: str


class RuleListResult(Struct, frozen=True, kw_only=True):
    """The rules in their order."""

    version: int
    items: tuple[RuleView, ...]


class RuleShowParams(Struct, frozen=True, kw_only=True):
    """Which version of the rules to show: the newest, or 0 for those that come with Rollcall."""

    version: Version | None = None


class BookView(Struct, frozen=True, kw_only=True):
    """The rules as they were written."""

    version: int
    set_at: datetime | None
    set_by: str
    toml: str


class RuleSetParams(Edit, frozen=True, kw_only=True):
    """Write all rules; they count from the next message on."""

    toml: Rules


INTAKE = Noun("intake", "intake")
RULE = Noun("rule", "intake")

OPERATIONS = (
    Operation(
        name="agent.say",
        owner="intake",
        params=SayParams,
        result=Became,
        scope="agent",
        summary="Say something in plain words: the rules of intake decide what becomes of it.",
        priority="work",
        cli="say",
        arguments=("text",),
        errors=("not_found",),
    ),
    INTAKE.operation(
        "say",
        SayParams,
        Became,
        "Say something in plain words: the rules decide what becomes of it.",
        priority="work",
        arguments=("text",),
        errors=(),
        http=(Route("POST", "/intake"),),
    ),
    INTAKE.operation(
        "try",
        TryParams,
        TryResult,
        "Show what would become of a text, and why; nothing is kept.",
        priority="look",
        arguments=("text",),
        errors=(),
        http=(Route("GET", "/intake/rehearsal"),),
    ),
    INTAKE.operation(
        "ls",
        ListParams,
        ListResult,
        "List what was said, newest first, and what became of it.",
        priority="look",
        errors=(),
        http=(Route("GET", "/intake"),),
    ),
    RULE.operation(
        "ls",
        RuleListParams,
        RuleListResult,
        "List the rules of intake in their order.",
        priority="look",
        errors=(),
        http=(Route("GET", "/rules"),),
    ),
    RULE.operation(
        "show",
        RuleShowParams,
        BookView,
        "Show the rules of intake as they were written.",
        priority="look",
        http=(Route("GET", "/rules/text"),),
    ),
    RULE.operation(
        "set",
        RuleSetParams,
        BookView,
        "Write the rules of intake; they count from the next message on.",
        errors=("changed",),
        http=(Route("PUT", "/rules/text"),),
    ),
)
