"""Every view in both themes and sizes: for everybody, without a sideways scroll, and odd text as text."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import Eyes
from tests.dashboard.house import ROOT, House
from tests.dashboard.look import SIZES, THEMES, VIEWS, settled
from tests.dashboard.odd import ODD

AXE: Final = ROOT / "requirements" / "js" / "node_modules" / "axe-core" / "axe.min.js"
SCRIPT: Final = AXE.read_text("utf-8") if AXE.exists() else ""  # `make test` fetches it
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

pytestmark = pytest.mark.timeout(240)


async def judged(page: Page) -> list[str]:
    """Return what axe finds wrong."""
    await page.evaluate(SCRIPT)
    found = await page.evaluate(f"axe.run(document, {{runOnly: {RULES}}})")
    return [f"{one['id']}: {node['html'][:120]}" for one in found["violations"] for node in one["nodes"]]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_everybody_can_use_every_view(eyes: Eyes, house: House, size: str, theme: str) -> None:
    page = await eyes.page(size, theme)
    wrong: dict[str, list[str]] = {}
    for name, path in VIEWS.items():
        await page.goto(house.url + path)
        await expect(page.locator(".live.t-good")).to_be_visible()
        await settled(page)
        if found := await judged(page):
            wrong[name] = found
        width = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, (name, width)
    await page.keyboard.press("?")
    if found := await judged(page):
        wrong["help"] = found
    assert wrong == {}


async def test_odd_text_is_text(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    await house.agent("odd", capacity=100)
    last = 0
    for place, text in enumerate(ODD):
        last, row = await house.task(text[:200], "odd", description=text, project=text[:100])
        await house.ask("POST", f"/tasks/{last}/comments", {"text": text})
        if place % 2:
            await house.say("odd", "ack", assignment=row)
            await house.say("odd", "wait", assignment=row, on="human", who=text, reason=text)
        else:
            await house.say("odd", "progress", assignment=row, note=text)
    await house.ask("POST", "/agents/odd/pause", {"reason": ODD[0]})
    for path in ("/", "/fleet", "/tasks", "/tasks?as=columns", "/bus", "/health", "/escalations"):
        await page.goto(house.url + path)
        await settled(page)
        assert (
            await page.evaluate(
                "document.querySelectorAll('main script, main img, main iframe, main b > *').length"
            )
            == 0
        )
    for place, text in enumerate(ODD):
        await page.goto(f"{house.url}/tasks/{last - len(ODD) + 1 + place}")
        heading = page.get_by_role("heading", level=1)
        await expect(heading).to_be_visible()
        shown = await heading.evaluate("node => node.textContent")
        assert shown.endswith(text[:200]), text
        said = await page.locator(".timeline").evaluate("node => node.textContent")
        assert text in said
        assert (
            await page.evaluate("document.querySelectorAll('main script, main img, main iframe').length") == 0
        )
