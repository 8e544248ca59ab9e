"""Pictures of every view, for the docs: `make screenshots`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page, async_playwright

from tests.dashboard.house import House, open_house, populate

CHROMIUM: Final = "/usr/bin/chromium"
SIZES: Final = {"390": (390, 844), "1440": (1440, 900)}
THEMES: Final = ("light", "dark")
VIEWS: Final = {
    "needs": "/",
    "fleet": "/fleet",
    "tasks": "/tasks",
    "columns": "/tasks?as=columns",
    "task": "/tasks/3",
    "escalations": "/escalations?policy=on-call",
    "bus": "/bus",
    "health": "/health",
    "notifications": "/notifications",
}


async def sign_in(
    browser: Browser, house: House, size: str = "1440", theme: str = "light", scope: str = "admin"
) -> Page:
    """Return a page in which somebody has followed a link."""
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        device_scale_factor=1,
        has_touch=size == "390",
    )
    page = await context.new_page()
    await page.goto(await house.link(scope))
    await page.wait_for_selector(".live.t-good")
    return page


async def settled(page: Page) -> None:
    """Wait until a view shows what it knows."""
    await page.locator("main .empty[role=status]").first.wait_for(state="detached")
    await page.wait_for_timeout(300)


async def take(folder: Path, only: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(prefix="rollcall-look-") as state:
        async with open_house(Path(state)) as house, async_playwright() as playwright:
            await populate(house)
            chapters = count(1)
            browser = await playwright.chromium.launch(executable_path=CHROMIUM)
            for size in SIZES:
                for theme in THEMES:
                    page = await sign_in(browser, house, size, theme)
                    for name, path in VIEWS.items():
                        if only and name not in only:
                            continue
                        await page.goto(house.url + path)
                        await page.wait_for_selector(".live.t-good")
                        if name == "bus":
                            title = f"Check the links of chapter {next(chapters)}"
                            _, row = await house.task(title, "reviewer")
                            await house.say("reviewer", "ack", assignment=row)
                            await house.say("reviewer", "complete", assignment=row)
                        await settled(page)
                        await page.screenshot(path=folder / f"{name}-{size}-{theme}.png")
                    await page.context.close()
            await browser.close()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(target, tuple(sys.argv[2:])))
