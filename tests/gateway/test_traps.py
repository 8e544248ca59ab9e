"""What Litestar and uvicorn would do by themselves, and must not do here."""

import logging
import subprocess
import sys

import pytest

from contracts.errors import all_errors
from services.gateway import asking
from services.gateway.openapi import document
from tests.gateway.web import Web


async def test_a_constraint_on_a_query_parameter_counts(web: Web) -> None:
    """Litestar ignores one that stands in an annotation: limit=0 would be 200."""
    answer = await (await web.client()).get("/tasks?limit=0")
    assert (answer.status_code, answer.json()["fields"]) == (422, {"limit": "must be at least 1"})


async def test_title_and_detail_are_where_they_belong(web: Web) -> None:
    """Its own problems have them the wrong way round: the title must not change with the occurrence."""
    admin = await web.client()
    first, second = [(await admin.get(f"/tasks/{number}")).json() for number in (98, 99)]
    assert first["title"] == second["title"] == all_errors()["not_found"].title()
    assert first["detail"] == "there is no task 98"
    routed = (await admin.get("/nothing")).json()
    assert routed["title"] == first["title"]


def test_the_description_names_the_errors_that_are_sent() -> None:
    """Its own pages describe `application/json` with `status_code` and `detail`."""
    for place in document()["paths"].values():
        for entry in place.values():
            for status, answer in entry["responses"].items():
                kinds = set(answer["content"]) - {"text/event-stream"}
                assert kinds <= ({"application/problem+json"} if int(status) >= 400 else {"application/json"})


def test_it_is_imported_by_nobody_who_does_not_serve() -> None:
    """It takes 0.6 s, and brings faker, polyfactory and rich along."""
    code = (
        "import sys, rollcall.wiring, rollcall.up, rollcall.cli.root, rollcall.cli.verbs, services.gateway\n"
        "print([n for n in ('litestar', 'uvicorn', 'httptools', 'faker', 'polyfactory') if n in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"


async def test_it_leaves_our_logging_alone(web: Web) -> None:
    """Its default takes the root logger over, and writes in a form of its own."""
    names = {type(handler).__module__.partition(".")[0] for handler in logging.getLogger().handlers}
    assert "litestar" not in names
    assert not logging.getLogger("litestar").handlers


async def test_our_own_failure_is_told_without_its_inside(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(asking.Desk, "ask", broken)
    answer = await (await web.client()).get("/tasks")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text


async def test_a_failure_before_the_app_is_told_the_same_way(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.gateway.identity import Doorkeeper

    async def broken(*_: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(Doorkeeper, "admit", broken)
    answer = await (await web.client()).get("/tasks")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
