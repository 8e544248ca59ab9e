"""Whatever the description allows, and what it does not, is answered as the description says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from contracts import tokens
from services.gateway import Listening, asking
from services.gateway.openapi import document
from tests.gateway.web import FIXED, open_web

EXAMPLES = int(os.environ.get("EXPLORED", "50"))  # of an operation; `make explore` takes 1 000
SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS: list[Any] = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]
NOT_OURS = [
    ignored_auth,  # it would send the token again
    positive_data_acceptance,  # some rules are above a schema: an agent is named with the scope of an agent
]
PATIENCE_S = 60.0  # on a machine with much else to do an answer takes long, and is right all the same
STREAMS = "/events"  # has no end to be judged by


def explore(operation: Any, url: str, token: str) -> None:
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
        headers = {"authorization": f"Bearer {token}"}
        case.call_and_validate(base_url=url, headers=headers, excluded_checks=NOT_OURS, timeout=PATIENCE_S)

    sent()


@pytest.mark.timeout(7_200)  # so long with a thousand examples; with fifty, half a minute
@pytest.mark.parametrize("role", ["admin", "agent"])
async def test_nothing_is_found(tmp_path: Path, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_S", PATIENCE_S)
    listening = Listening(fixed=tokens.digest(FIXED), per_minute=1_000_000)
    async with open_web(tmp_path, listening) as web:
        await web.world.agent("ann")
        token = await web.token("agent", agent="ann") if role == "agent" else FIXED
        wrong: dict[str, str] = {}
        for number, operation in enumerate(OPERATIONS, 1):
            if operation.path.endswith(STREAMS):
                continue
            print(f"{role} {number}/{len(OPERATIONS)}: {operation.label}", flush=True)
            try:
                await anyio.to_thread.run_sync(explore, operation, web.url, token)
            except BaseExceptionGroup as error:
                wrong[operation.label] = str(error)
                print(wrong[operation.label], flush=True)
    assert not wrong, "\n\n".join(wrong.values())
