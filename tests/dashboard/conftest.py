"""A house with a fleet in it, and browsers before it; skipped where there is no Chromium."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.dashboard.house import House, open_house, populate
from tests.dashboard.look import CHROMIUM, sign_in

THERE = Path(CHROMIUM).exists()


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fill a house once, and return its folder; each test gets a copy."""
    folder = tmp_path_factory.mktemp("stock") / "state"

    async def fill() -> None:
        async with open_house(folder) as house:
            await populate(house)

    asyncio.run(fill())
    return folder


@pytest.fixture
async def house(stock: Path, tmp_path: Path) -> AsyncIterator[House]:
    doors = shutil.ignore_patterns("*.sock")
    await asyncio.to_thread(shutil.copytree, stock, tmp_path / "state", ignore=doors)
    async with open_house(tmp_path / "state") as found:
        yield found


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if not THERE:
        pytest.skip("there is no Chromium here: make system")
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=CHROMIUM)
        yield found
        await found.close()


class Eyes:
    """Opens pages, and sees what no page may do."""

    def __init__(self, browser: Browser, house: House) -> None:
        self.browser = browser
        self.house = house
        self.seen: list[str] = []
        self.forgiven: tuple[str, ...] = ()

    async def page(self, size: str = "1440", theme: str = "light", scope: str = "admin") -> Page:
        page = await sign_in(self.browser, self.house, size, theme, scope)
        host = urlsplit(self.house.url).netloc

        def requested(url: str) -> None:
            if urlsplit(url).netloc != host and not url.startswith("data:"):
                self.seen.append(f"asked {url}")

        page.on("request", lambda one: requested(one.url))
        page.on("pageerror", lambda error: self.seen.append(f"threw {error}"))
        page.on("dialog", lambda one: self.seen.append(f"opened {one.message}"))
        page.on("console", lambda said: self.seen.append(said.text) if said.type == "error" else None)
        return page

    def check(self) -> None:
        assert [one for one in self.seen if not any(word in one for word in self.forgiven)] == []


@pytest.fixture
async def eyes(browser: Browser, house: House) -> AsyncIterator[Eyes]:
    found = Eyes(browser, house)
    yield found
    found.check()
