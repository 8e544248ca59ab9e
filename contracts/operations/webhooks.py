"""Webhooks: the keys that sign them, and what became of each delivery."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from contracts.deliveries import DeliveryState, WebhookKey
from contracts.limits import Id, Name
from contracts.operations.paging import Page
from contracts.operations.registry import Noun, Params, Route

Hours = Annotated[int, Meta(ge=0, le=24 * 30)]


class RotateParams(Params, frozen=True, kw_only=True):
    """A new key for an agent; it is drawn by who asks, and said here only."""

    name: Name
    key: WebhookKey
    keep_hours: Hours = 24  # for so long the old key signs too


class SettleParams(Params, frozen=True, kw_only=True):
    """Whose old key ends now."""

    name: Name


class KeysView(Struct, frozen=True, kw_only=True):
    """An agent's keys, as far as anybody may know them."""

    agent: str
    rotated_at: datetime
    rotated_by: str
    previous_until: datetime | None  # until when the old key signs too


class ListParams(Page, frozen=True, kw_only=True):
    """Which deliveries to list, a page at a time, newest first."""

    agent: Name | None = None
    assignment: Id | None = None
    state: DeliveryState | None = None


class DeliveryView(Struct, frozen=True, kw_only=True):
    """A ping over HTTP, and what became of it."""

    id: int
    assignment: int
    attempt: int
    agent: str
    host: str
    state: str
    tries: int
    status: int | None  # what the receiver answered last
    why: str
    sent_at: datetime
    next_at: datetime | None
    delivered_at: datetime | None


class ListResult(Struct, frozen=True, kw_only=True):
    """A page of deliveries; `next` is the `after` of the following page."""

    items: tuple[DeliveryView, ...]
    next: int | None


WEBHOOK = Noun("webhook", "courier")

OPERATIONS = (
    WEBHOOK.operation(
        "rotate",
        RotateParams,
        KeysView,
        "Sign an agent's pings with a new key; the old one signs too for a while.",
        arguments=("name",),
        errors=("not_found",),
        http=(Route("POST", "/agents/{name}/webhook-key"),),
    ),
    WEBHOOK.operation(
        "settle",
        SettleParams,
        KeysView,
        "Sign with the old key no more.",
        arguments=("name",),
        http=(Route("POST", "/agents/{name}/webhook-key/settle"),),
    ),
    WEBHOOK.operation(
        "ls",
        ListParams,
        ListResult,
        "List pings that were sent over HTTP, and what became of them.",
        priority="look",
        errors=(),
        http=(Route("GET", "/deliveries"),),
    ),
)
