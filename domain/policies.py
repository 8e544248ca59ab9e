"""Escalation policies: written, listed, shown."""

from collections.abc import Sequence

from msgspec import structs

from contracts.codec import instant
from contracts.errors import InvalidError, NotFoundError
from contracts.limits import POLICY_STEPS_MAX
from contracts.operations.policies import ListResult, SetParams
from contracts.records import Policy, PolicyStep
from contracts.views import PolicyStepView, PolicyView
from contracts.work import Changes, View
from domain.draft import Draft
from domain.timers import Timers
from domain.versions import check


def set_policy(view: View, now: int, params: SetParams, *, actor: str, cause: str | None = None) -> Changes:
    """Write a policy; running escalations keep the copy they started with."""
    draft = Draft(view, now, actor=actor, timers=Timers(), cause=cause or params.command_id)
    check_steps(params.steps)
    known = view.policies.get(params.name)
    check(params.expected_version, 0 if known is None else known.version, exists=known is not None)
    if known is None:
        policy = Policy(name=params.name, steps=params.steps, updated_at=now)
    else:
        policy = structs.replace(known, steps=params.steps, updated_at=now)
    draft.put(policy)
    draft.fact(policy, "changed", steps=[step.kind for step in policy.steps])
    return draft.changes(_view(structs.replace(policy, version=policy.version + 1)))


def check_steps(steps: Sequence[PolicyStep]) -> None:
    """Refuse steps that say what their kind does not understand."""
    if len(steps) > POLICY_STEPS_MAX:
        raise InvalidError(
            f"{len(steps)} steps, the limit is {POLICY_STEPS_MAX}", fields={"steps": "too many"}
        )
    for number, step in enumerate(steps):
        if step.capability is not None and step.kind != "peer":
            raise InvalidError(
                "only a peer is chosen by capability", fields={f"steps[{number}].capability": step.kind}
            )
        if step.who is not None and step.kind != "notify":
            raise InvalidError("only notify names whom it tells", fields={f"steps[{number}].who": step.kind})


def listed(rows: Sequence[Policy]) -> ListResult:
    """Return the policies for readers."""
    return ListResult(items=tuple(_view(row) for row in rows))


def shown(view: View, name: str) -> PolicyView:
    """Return a policy for readers."""
    found = view.policies.get(name)
    if found is None:
        raise NotFoundError(f"there is no policy {name}")
    return _view(found)


def _view(policy: Policy) -> PolicyView:
    steps = (
        PolicyStepView(kind=step.kind, capability=step.capability, who=step.who) for step in policy.steps
    )
    at = instant(policy.updated_at)
    return PolicyView(name=policy.name, steps=tuple(steps), updated_at=at, version=policy.version)
