"""Whatever the description allows, and what it does not, is answered as the description says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from contracts import tokens
from contracts.operations.access import ACCESS
from contracts.tokens import Role
from services.gateway import Listening, asking
from services.gateway.openapi import document
from tests.gateway.web import FIXED, open_web

EXAMPLES = int(os.environ.get("EXPLORED", "50"))  # of an operation; `make explore` takes 1 000
SCHEMA = schemathesis.openapi.from_dict(document())
SCHEMA.config.generation.with_security_parameters = False  # the token is ours to show, and never left out
OPERATIONS: list[Any] = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]
NOT_OURS = [
    ignored_auth,  # it would send the token again
    positive_data_acceptance,  # some rules are above a schema: an agent is named with the scope of an agent
]
PATIENCE_S = 60.0  # on a machine with much else to do an answer takes long, and is right all the same
STREAMS = ("/events", "/bus")  # have no end to be judged by


def allowed(operation: Any, role: Role) -> bool:
    """Tell whether a role may do it; what it may not do is refused alike, and tried in tests/security."""
    owner, verb = operation.definition.raw["operationId"].split(".")[:2]
    return role in ACCESS[f"{owner}.{verb}"]


def explore(operation: Any, url: str, session: requests.Session) -> None:
    """Send what the description allows; raises when an answer is none that it names."""

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    def sent(case: Any) -> None:
        case.call_and_validate(base_url=url, session=session, excluded_checks=NOT_OURS, timeout=PATIENCE_S)

    sent()


@pytest.mark.timeout(7_200)  # so long with a thousand examples; with fifty, half a minute
@pytest.mark.parametrize("role", ["admin", "agent"])
async def test_nothing_is_found(tmp_path: Path, role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_S", PATIENCE_S)
    listening = Listening(fixed=tokens.digest(FIXED), per_minute=1_000_000)
    async with open_web(tmp_path, listening) as web:
        await web.world.agent("ann")
        token = await web.token("agent", agent="ann") if role == "agent" else FIXED
        wrong: dict[str, str] = {}
        theirs = [one for one in OPERATIONS if not one.path.endswith(STREAMS) and allowed(one, role)]
        with requests.Session() as session:
            session.headers["authorization"] = f"Bearer {token}"
            for number, operation in enumerate(theirs, 1):
                print(f"{role} {number}/{len(theirs)}: {operation.label}", flush=True)
                try:
                    await anyio.to_thread.run_sync(explore, operation, web.url, session)
                except BaseExceptionGroup as error:
                    wrong[operation.label] = str(error)
                    print(wrong[operation.label], flush=True)
    assert not wrong, "\n\n".join(wrong.values())


def test_each_operation_is_explored_by_somebody() -> None:
    assert not [one.label for one in OPERATIONS if not allowed(one, "admin") and not allowed(one, "agent")]
