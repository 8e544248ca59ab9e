"""Escalation policies: list, show, set, try."""

from typing import Annotated

from msgspec import Meta, Struct

from contracts.limits import POLICY_STEPS_MAX, Id, Name
from contracts.operations.registry import Operation, Params
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


class SetParams(Params, frozen=True, kw_only=True):
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


def _operation(
    verb: str,
    params: type[Struct],
    result: type[Struct],
    summary: str,
    *,
    query: bool = True,
    arguments: tuple[str, ...] = ("name",),
) -> Operation:
    return Operation(
        name=f"policy.{verb}",
        owner="escalator",
        params=params,
        result=result,
        scope="operator",
        summary=summary,
        query=query,
        arguments=arguments,
        errors=("not_found",),
    )


OPERATIONS = (
    _operation("ls", ListParams, ListResult, "List escalation policies.", arguments=()),
    _operation("show", ShowParams, PolicyView, "Show an escalation policy."),
    _operation("set", SetParams, PolicyView, "Write an escalation policy.", query=False),
    _operation(
        "try",
        TryParams,
        TryResult,
        "Show what a policy would do to a task whose holder stays silent.",
        arguments=("task",),
    ),
)
