"""Escalation policies: list, show, set, try."""

from typing import Annotated

from msgspec import Meta, Struct

from contracts.limits import POLICY_STEPS_MAX, PREVIEW_TASKS_MAX, Id, Name
from contracts.operations.registry import Edit, Noun, Route
from contracts.records import PolicyStep
from contracts.views import PolicyView

Steps = Annotated[tuple[PolicyStep, ...], Meta(max_length=POLICY_STEPS_MAX)]


class ListParams(Struct, frozen=True, kw_only=True):
    """List all policies."""


class ListResult(Struct, frozen=True, kw_only=True):
    """The policies by name."""

    items: tuple[PolicyView, ...]


class ShowParams(Struct, frozen=True, kw_only=True):
    """Which policy to show."""

    name: Name


class SetParams(Edit, frozen=True, kw_only=True):
    """Write a policy; running escalations keep the copy they started with."""

    name: Name
    steps: Steps


class TryParams(Struct, frozen=True, kw_only=True):
    """Ask what would happen, step by step, if the holder of this task stayed silent from now on."""

    task: Id
    policy: Name | None = None


class TryStep(Struct, frozen=True, kw_only=True):
    """One thing that would happen."""

    step: int | None
    what: str
    target: str | None
    reason: str


class TryResult(Struct, frozen=True, kw_only=True):
    """The course of the escalation, to its end."""

    policy: str
    course: tuple[TryStep, ...]


class PreviewParams(Struct, frozen=True, kw_only=True):
    """Ask what these steps would do to tasks that follow the policy, if their holders stayed silent."""

    name: Name
    steps: Steps
    tasks: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=PREVIEW_TASKS_MAX)]


class PreviewItem(Struct, frozen=True, kw_only=True):
    """What would become of a task with the policy as it is, and with the steps that were given."""

    task: int
    before: tuple[TryStep, ...]
    after: tuple[TryStep, ...]


class PreviewResult(Struct, frozen=True, kw_only=True):
    """The tasks that are open, and follow the policy; a running escalation keeps the copy it began with."""

    items: tuple[PreviewItem, ...]


POLICY = Noun("policy", "escalator")

OPERATIONS = (
    POLICY.operation(
        "ls",
        ListParams,
        ListResult,
        "List escalation policies.",
        priority="look",
        http=(Route("GET", "/policies"),),
    ),
    POLICY.operation(
        "show",
        ShowParams,
        PolicyView,
        "Show an escalation policy.",
        priority="look",
        arguments=("name",),
        http=(Route("GET", "/policies/{name}"),),
    ),
    POLICY.operation(
        "set",
        SetParams,
        PolicyView,
        "Write an escalation policy.",
        arguments=("name",),
        errors=("not_found", "changed"),
        http=(Route("PUT", "/policies/{name}"),),
    ),
    POLICY.operation(
        "try",
        TryParams,
        TryResult,
        "Show what a policy would do to a task whose holder stays silent.",
        priority="look",
        arguments=("task",),
        errors=("not_found", "conflict"),
        http=(Route("GET", "/tasks/{task}/rehearsal"),),
    ),
    POLICY.operation(
        "preview",
        PreviewParams,
        PreviewResult,
        "Show what other steps would do to the open assignments that follow a policy.",
        priority="look",
        arguments=("name",),
        errors=(),
        http=(Route("POST", "/policies/{name}/preview"),),
    ),
)
