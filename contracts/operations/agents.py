"""Agents: add, list, show, set."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from contracts.deliveries import WebhookKey
from contracts.limits import NAME_PATTERN, Capabilities, Givers, Minutes, Name
from contracts.operations.registry import Edit, Noun, Params, Route
from contracts.records import AgentKind, Beats
from contracts.views import AgentView, AssignmentView

Capacity = Annotated[int, Meta(ge=0, le=10_000)]
EndpointUrl = Annotated[
    str,
    Meta(
        max_length=2_000,
        pattern=r"^https?://.+$",
        description="an address such as https://agent.example/hooks",
    ),
]
NewEndpointUrl = Annotated[
    str,
    Meta(
        max_length=2_000,
        pattern=r"^(https?://.*)?$",
        description='an address such as https://agent.example/hooks, or "" for none',
    ),
]


KeptBy = Annotated[
    str,
    Meta(max_length=63, pattern=rf"^$|{NAME_PATTERN}", description='a machine\'s name, or "" for none'),
]


class AddParams(Params, frozen=True, kw_only=True):
    """A new agent; capacity and timeout follow its kind when they are absent."""

    name: Name
    kind: AgentKind = "sub_agent"
    capabilities: Capabilities = ()
    capacity: Capacity | None = None
    timeout_minutes: Minutes | None = None
    beats: Beats | None = None  # none for who is told at an address, else required
    assignable_by: Givers = ()
    kept_by: KeptBy | None = None
    endpoint_url: EndpointUrl | None = None
    webhook_key: WebhookKey | None = None  # signs what is sent there; drawn by who asks, and said here only


class AgentRef(Struct, frozen=True, kw_only=True):
    """An agent by its id and name."""

    id: int
    name: str


class ListParams(Struct, frozen=True, kw_only=True):
    """List the active agents, or all."""

    all: bool = False


class ListResult(Struct, frozen=True, kw_only=True):
    """The agents by name."""

    items: tuple[AgentView, ...]


class ShowParams(Struct, frozen=True, kw_only=True):
    """Which agent to show."""

    name: Name


class ShowResult(Struct, frozen=True, kw_only=True):
    """An agent with its open assignments."""

    agent: AgentView
    assignments: tuple[AssignmentView, ...]


class SetParams(Edit, frozen=True, kw_only=True):
    """What to change; what is absent stays."""

    name: Name
    capabilities: Capabilities | UnsetType = UNSET
    capacity: Capacity | UnsetType = UNSET
    timeout_minutes: Minutes | UnsetType = UNSET
    beats: Beats | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    quarantined: bool | UnsetType = UNSET
    assignable_by: Givers | UnsetType = UNSET
    kept_by: KeptBy | UnsetType | None = UNSET
    endpoint_url: NewEndpointUrl | UnsetType = UNSET


AGENT = Noun("agent", "monitor")

OPERATIONS = (
    AGENT.operation(
        "add",
        AddParams,
        AgentRef,
        "Register an agent.",
        arguments=("name",),
        errors=("exists",),
        http=(Route("POST", "/agents", 201, "/agents/{name}", words=(("agent_type", "kind"),)),),
    ),
    AGENT.operation(
        "ls",
        ListParams,
        ListResult,
        "List agents with status, since and why.",
        priority="look",
        errors=(),
        http=(Route("GET", "/agents"),),
    ),
    AGENT.operation(
        "show",
        ShowParams,
        ShowResult,
        "Show an agent and what it holds.",
        priority="look",
        arguments=("name",),
        http=(Route("GET", "/agents/{name}"),),
    ),
    AGENT.operation(
        "set",
        SetParams,
        AgentRef,
        "Change an agent.",
        arguments=("name",),
        errors=("not_found", "changed"),
        http=(Route("PATCH", "/agents/{name}"),),
    ),
)
