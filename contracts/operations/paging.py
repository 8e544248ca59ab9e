"""Pages: how much of a long list is asked for, and from where on."""

from typing import Annotated

from msgspec import Meta, Struct

from contracts.limits import PLACE_CHARS_MAX, Count, PageSize

Place = Annotated[
    str,
    Meta(
        max_length=PLACE_CHARS_MAX,
        pattern=r"^[A-Za-z0-9_:-]*$(?!\n)",
        description='what the page before said as `next`, or "" to begin',
    ),
]


class Page(Struct, frozen=True, kw_only=True):
    """A page of what has numbers; `after` is the `next` of the page before, and 0 at the beginning."""

    after: Count = 0
    limit: PageSize = 100


class NamedPage(Struct, frozen=True, kw_only=True):
    """A page of what has names; `after` is the `next` of the page before, and "" at the beginning."""

    after: Place = ""
    limit: PageSize = 100
