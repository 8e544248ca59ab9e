"""Whole lives over HTTP: what one answer names, the next request is about, in whatever order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import FlakyStrategyDefinition

from contracts import tokens
from services.gateway import Listening, asking
from tests.gateway.test_explored import EXAMPLES, NOT_OURS, PATIENCE_S, SCHEMA
from tests.gateway.web import FIXED, open_web

EACH = 10  # lives under one seed
STEPS = 10
MADE = "/tasks/{task}"  # in the path of whatever is about a task that was made before


class Found:
    """What was seen on the way."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.wrong: list[str] = []
        self.lives = 0


def live(url: str, found: Found) -> None:
    """Go through lives, and note every answer that is none of those which the description names."""

    class Lives(SCHEMA.exclude(path_regex="/(events|bus)$").as_state_machine()):  # type: ignore[misc]  # made there
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            headers = {"authorization": f"Bearer {FIXED}"}
            return {"base_url": url, "headers": headers, "timeout": PATIENCE_S}

        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            if response.status_code < 300:
                found.passed.add(case.operation.label)
            recorder = getattr(self, "recorder", None)
            try:
                case.validate_response(response, excluded_checks=NOT_OURS, recorder=recorder)
            except BaseExceptionGroup as error:
                found.wrong.append(str(error))

        def teardown(self) -> None:
            found.lives += 1
            super().teardown()

    how = settings(
        max_examples=EACH,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    number = 0
    while found.lives < EXAMPLES and not found.wrong:
        number += 1
        try:
            seed(number)(Lives).run(settings=how)
        except FlakyStrategyDefinition:
            continue  # a life that began the same went another way: what is asked about was changed meanwhile


@pytest.mark.timeout(7_200)  # so long with a thousand lives
async def test_every_life_is_as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_S", PATIENCE_S)
    listening = Listening(fixed=tokens.digest(FIXED), per_minute=1_000_000)
    found = Found()
    async with open_web(tmp_path, listening) as web:
        await anyio.to_thread.run_sync(live, web.url, found)
    assert not found.wrong, "\n\n".join(found.wrong)
    assert found.lives >= EXAMPLES
    assert [label for label in found.passed if MADE in label]
