"""Pings over HTTP: what stands in the store about each, and with which keys they are signed."""

import base64
import binascii
import re
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

DeliveryState = Literal["queued", "delivered", "failed", "given_up"]
"""`failed`: every try failed; `given_up`: nobody has to be told any more."""

KEY_PREFIX: Final = "whsec_"
KEY_BYTES: Final = 32
_FORM: Final = re.compile(r"whsec_([A-Za-z0-9+/]{32,88}={0,2})")

WebhookKey = Annotated[
    str,
    Meta(
        min_length=38,
        max_length=96,
        pattern=r"^whsec_[A-Za-z0-9+/]{32,88}={0,2}$(?!\n)",
        description="whsec_ and 24 to 64 random bytes in base64",
    ),
]


class Delivery(Struct, frozen=True, kw_only=True):
    """A ping that is to be sent to an agent's address."""

    id: int
    assignment_id: int
    attempt: int
    agent: str
    url: str  # where it was sent last, or is to be
    incarnation: str
    state: DeliveryState = "queued"
    tries: int = 0
    next_at: int | None  # when it is tried (again); None when it is over
    leased_until: int | None = None  # until then somebody is at it
    status: int | None = None  # what the receiver answered last
    why: str = ""  # why it is not delivered (yet)
    sent_at: int  # when the ping was made
    delivered_at: int | None = None
    quarantined: str | None = None
    version: int = 1


class DueDelivery(Delivery, frozen=True, kw_only=True):
    """A delivery with all that it says, as it is now."""

    task_id: int
    title: str
    accept_us: int
    lease: str  # the status of the assignment
    newest: int  # its last attempt, and the last that was answered
    answered: int
    beats: str
    present_url: str | None  # the agent's address now
    key: str | None = None
    previous: str | None = None
    previous_until: int | None = None


class WebhookKeys(Struct, frozen=True, kw_only=True):
    """With what an agent's pings are signed: readable, for it has to be used."""

    agent: str
    key: str
    previous: str | None = None
    previous_until: int | None = None
    rotated_at: int
    rotated_by: str
    version: int = 1


class Job(Struct, frozen=True, kw_only=True):
    """One try: what is to be sent, and where."""

    id: int
    version: int
    agent: str
    url: str
    message_id: str
    assignment: int
    body: bytes
    keys: tuple[str, ...] = ()


def key_of(drawn: bytes) -> str:
    """Return a key in its written form."""
    return KEY_PREFIX + base64.b64encode(drawn).decode()


def key_bytes(key: str) -> bytes | None:
    """Return what a written key stands for; None if it is none."""
    found = _FORM.fullmatch(key)
    if found is None:
        return None
    try:
        return base64.b64decode(found[1], validate=True)
    except binascii.Error:
        return None
