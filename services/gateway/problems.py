"""Refusals as RFC 9457 has them: what the bus says, with a `type` that leads to its explanation."""

from typing import Final

from msgspec import structs

from contracts.codec import encode
from contracts.errors import Problem, RollcallError, all_errors

MEDIA_TYPE: Final = "application/problem+json"
PAGES: Final = "/problems/"
AGAIN_S: Final = 1  # where a refusal that may be repeated does not say when


class HttpProblem(Problem, frozen=True, kw_only=True, omit_defaults=True):
    """A problem and where it is explained."""

    type: str = ""


def body(problem: Problem) -> bytes:
    """Return a refusal as it is sent."""
    fields = structs.asdict(problem)
    return encode(HttpProblem(type=f"{PAGES}{problem.code}", **fields))


def headers(problem: Problem) -> dict[str, str]:
    """Return what a refusal says in headers."""
    found = {"cache-control": "no-store"}
    if problem.status in {429, 503}:
        found["retry-after"] = str(problem.retry_after_s or AGAIN_S)
    if problem.status == 401:  # noqa: PLR2004 - a status is its own name
        found["www-authenticate"] = 'Bearer realm="rollcall"'
    return found


def page(code: str) -> bytes | None:
    """Return what a code means, for people; None for one that there is not."""
    kind: type[RollcallError] | None = all_errors().get(code)
    if kind is None:
        return None
    again = (
        "It may be sent again as it is, with the same Idempotency-Key."
        if kind.retryable
        else ("Sent again as it is, it will be refused again.")
    )
    return f"{code} (status {kind.status})\n\n{kind.title()}.\n{again}\n".encode()
