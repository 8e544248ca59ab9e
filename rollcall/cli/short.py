"""Shorter words for operations with some parameters given."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from rollcall.cli import keys
from rollcall.cli.extras import EXTRAS, Extra


class Short(Struct, frozen=True, kw_only=True):
    """A verb that stands for an operation of another noun."""

    operation: str
    given: Mapping[str, Any]
    help: str
    extra: Extra | None = None


_AGENT: Final = {"holder": "agent"}
_MACHINE: Final = {"holder": "machine"}
_REPLACING: Final = Extra(parameters=keys.with_file, values=keys.replace_key, run=keys.create)

SHORT: Final[Mapping[str, Mapping[str, Short]]] = {
    "agent": {
        "revoke": Short(
            operation="credential.revoke",
            given=_AGENT,
            help="Let an agent in no more, on the bus and over HTTP.",
        ),
        "rotate": Short(
            operation="credential.create",
            given=_AGENT,
            help="Give an agent a new key; the old one counts for a while yet.",
            extra=_REPLACING,
        ),
    },
    "machine": {
        "add": Short(
            operation="credential.create",
            given=_MACHINE,
            help="Let the daemon of a machine in, and write its credentials.",
            extra=EXTRAS["credential.create"],
        ),
        "revoke": Short(
            operation="credential.revoke", given=_MACHINE, help="Let the daemon of a machine in no more."
        ),
        "rotate": Short(
            operation="credential.create",
            given=_MACHINE,
            help="Give a machine a new key; the old one counts for a while yet.",
            extra=_REPLACING,
        ),
    },
}
