"""Every view in both themes and sizes: for everybody, without a sideways scroll, and odd text as text."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import Eyes
from tests.dashboard.house import LONG, ROOT, House
from tests.dashboard.look import SIZES, THEMES, VIEWS, settled
from tests.dashboard.odd import ODD
from tests.support.fetched import fetched

AXE: Final = ROOT / "requirements" / "js" / "node_modules" / "axe-core" / "axe.min.js"
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

pytestmark = pytest.mark.timeout(240)


async def go(page: Page, path: str) -> None:
    """Go to a view as a link does, without loading the page anew."""
    to = "path => { history.pushState(null, '', path); dispatchEvent(new Event('popstate')); }"
    await page.evaluate(to, path)


async def judged(page: Page) -> list[str]:
    """Return what axe finds wrong."""
    await page.evaluate(fetched(AXE).read_text("utf-8"))
    found = await page.evaluate(f"axe.run(document, {{runOnly: {RULES}}})")
    return [f"{one['id']}: {node['html'][:120]}" for one in found["violations"] for node in one["nodes"]]


async def wrongs(page: Page) -> dict[str, list[str]]:
    """Return what is wrong with each view, as it is seen by one pair of eyes."""
    wrong: dict[str, list[str]] = {}
    for name, path in VIEWS.items():
        await go(page, path)
        await settled(page)
        found = await judged(page)
        width = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if found or width > 0:
            wrong[name] = [*found, f"wider than the window by {width}"]
    await page.keyboard.press("?")
    if found := await judged(page):
        wrong["help"] = found
    return wrong


@pytest.mark.parametrize("size", SIZES)
async def test_everybody_can_use_every_view(eyes: Eyes, house: House, size: str) -> None:
    pages = [await eyes.page(size, theme) for theme in THEMES]
    found = await asyncio.gather(*(wrongs(page) for page in pages))
    assert dict(zip(THEMES, found, strict=True)) == {theme: {} for theme in THEMES}


async def test_long_names_and_odd_titles_stay_in_their_places(eyes: Eyes, house: House) -> None:
    page = await eyes.page("390")
    long, _ = await house.task("W" * 200, LONG)
    odd, _ = await house.task("\u202e\u05e9\u05dc\u05d5\u05dd, of old", LONG)
    for width in (390, 320):
        await page.set_viewport_size({"width": width, "height": 844})
        wide = []
        for path in (*VIEWS.values(), f"/tasks/{long}"):
            await go(page, path)
            await settled(page)
            if await page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append(path)
        assert wide == []
        rights = "[...document.querySelectorAll('h1, .head *')].map(one => one.getBoundingClientRect().right)"
        assert max(await page.evaluate(rights)) <= width - 12
        await go(page, f"/tasks/{odd}")
        await expect(page.locator("h1")).to_contain_text(f"#{odd}")
        lefts = "[...document.querySelectorAll('h1 > *')].map(one => one.getBoundingClientRect().left)"
        number, title = await page.evaluate(lefts)
        assert number < title


async def test_who_wants_no_motion_sees_none(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    named = "getComputedStyle(document.querySelector('.toast')).animationName"
    for wanted, shown in (("reduce", "none"), ("no-preference", "rise")):
        await page.emulate_media(reduced_motion=wanted)  # type: ignore[arg-type]
        await page.get_by_role("button", name="Light or dark").click()
        assert await page.evaluate(named) == shown
        await page.locator(".toast").wait_for(state="detached")


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
    for path in (
        "/",
        "/fleet",
        "/tasks",
        "/tasks?as=columns",
        "/bus",
        "/health",
        "/escalations",
        "/notifications",
    ):
        await go(page, path)
        await settled(page)
        assert (
            await page.evaluate(
                "document.querySelectorAll('main script, main img, main iframe, main b > :not(a)').length"
            )
            == 0
        )
    for place, text in enumerate(ODD):
        number = last - len(ODD) + 1 + place
        await go(page, f"/tasks/{number}")
        heading = page.get_by_role("heading", level=1)
        await expect(heading).to_contain_text(f"#{number}")
        shown = await heading.evaluate("node => node.textContent")
        assert shown.endswith(text[:200]), text
        said = await page.locator(".timeline").evaluate("node => node.textContent")
        assert text in said
        assert (
            await page.evaluate("document.querySelectorAll('main script, main img, main iframe').length") == 0
        )
