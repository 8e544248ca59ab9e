"""What other steps of a policy would do now to the tasks that follow it."""

from msgspec import structs

from contracts.operations.policies import PreviewItem, PreviewParams, PreviewResult, TryStep
from contracts.records import ENDED_TASKS, Policy
from contracts.work import View
from domain import escalation, policies
from domain.rehearsal import Rehearsal
from domain.timers import Timers


def preview(view: View, params: PreviewParams, now: int, *, timers: Timers) -> PreviewResult:
    """Return the course of each task, with the policy as it is and as it would be."""
    policies.check_steps(params.steps)
    known = view.policies.get(params.name)
    if known is None:
        known = Policy(name=params.name, steps=params.steps, updated_at=now)
    other = structs.replace(known, steps=params.steps)
    followers = (
        task.id
        for task in view.tasks.values()
        if task.policy == params.name and task.status not in ENDED_TASKS
    )
    return PreviewResult(
        items=tuple(
            PreviewItem(
                task=task,
                before=_course(view, task, known, now, timers),
                after=_course(view, task, other, now, timers),
            )
            for task in followers
        )
    )


def _course(view: View, task: int, policy: Policy, now: int, timers: Timers) -> tuple[TryStep, ...]:
    stage = Rehearsal(view)
    stage.policies[policy.name] = policy
    return escalation.try_policy(stage, task, None, now, timers).course
