"""What an operation is."""

from typing import Final, Literal, get_args

from msgspec import Struct

from contracts.limits import MESSAGE_BYTES_MAX, CommandId, Count

Priority = Literal["answer", "order", "work", "look"]
"""What is done first and shed last, in this order.

`answer`: what agents say, and their asking what they owe; `order`: what operators change; `work`: new tasks;
`look`: their queries.
"""


PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)


Scope = Literal["agent", "machine", "operator"]
"""Who may ask: an agent about itself, a machine's daemon about itself, an operator about everything."""


class Params(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every command carries; without a command id it is not safe to retry."""

    command_id: CommandId | None = None


AnyVersion = Literal["*"]
"""Any version, as long as there is one."""


class Edit(Params, frozen=True, kw_only=True):
    """What a change carries that may name the version it is a change of, so that no other one is lost."""

    expected_version: Count | AnyVersion | None = None  # 0: there is none yet


API: Final = "/api/v1"
"""What every path over HTTP begins with."""

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Route(Struct, frozen=True):
    """A door over HTTP; `{name}` in the path is a parameter."""

    method: Method
    path: str  # under API
    status: Literal[200, 201] = 200  # 201: something new stands at `location`
    location: str = ""  # under API, with fields of the result
    words: tuple[tuple[str, str], ...] = ()  # other names of parameters, as the first system had them


class Operation(Struct, frozen=True, kw_only=True):
    """One command or query: its words, its shape, who may send it and who answers it."""

    name: str  # noun.verb, the same at every door
    owner: str  # the service that answers
    params: type[Struct]
    result: type[Struct]
    scope: Scope
    summary: str  # one line: help text and documentation
    query: bool = False  # reads only: needs no command id
    priority: Priority = "answer"
    cli: str = ""  # the verb at the command line, when it is not the name with a space
    aliases: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()  # parameters that the command line takes by position
    errors: tuple[str, ...] = ()  # codes beside malformed, invalid, too_large, forbidden and unavailable
    bytes_max: int = MESSAGE_BYTES_MAX
    http: tuple[Route, ...] = ()  # beside what every agent's verb has

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every door over HTTP, the usual one first; a machine's daemon speaks on the bus alone.

        An agent's verb has the same path at its socket.
        """
        if self.scope != "agent":
            return self.http
        asked = (Route("GET", f"/agent/{self.verb}"),) if self.query else ()
        return (Route("POST", f"/agent/{self.verb}"), *asked, *self.http)

    @property
    def verb(self) -> str:
        """The token in the subject."""
        return self.name.replace(".", "-") if self.scope == "operator" else self.name.split(".")[1]

    @property
    def command(self) -> str:
        """The words at the command line; a machine's daemon has none."""
        return self.cli or self.name.replace(".", " ")


def told(operation: Operation) -> dict[str, str]:
    """Return what an endpoint on the bus tells of its operation; its shape is in docs/asyncapi.json."""
    return {
        "operation": operation.name,
        "summary": operation.summary,
        "scope": operation.scope,
        "kind": "query" if operation.query else "command",
        "errors": " ".join(operation.errors),
    }


class Noun(Struct, frozen=True):
    """What a group of operators' operations is about, and which service answers them."""

    name: str
    owner: str

    def operation(
        self,
        verb: str,
        params: type[Struct],
        result: type[Struct],
        summary: str,
        *,
        priority: Priority = "order",
        arguments: tuple[str, ...] = (),
        errors: tuple[str, ...] = ("not_found",),
        http: tuple[Route, ...] = (),
    ) -> Operation:
        """Return one of them; whatever only looks is a query."""
        return Operation(
            name=f"{self.name}.{verb}",
            owner=self.owner,
            params=params,
            result=result,
            scope="operator",
            summary=summary,
            query=priority == "look",
            priority=priority,
            arguments=arguments,
            errors=errors,
            http=http,
        )
