"""The dashboard in a real Chromium, before a large fleet: how soon it shows rows, how evenly it moves."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
from playwright.async_api import Browser, Page, async_playwright

from bench.harness import Figure, percentile
from bench.http import TOKEN, door, gateway
from bench.seed import leases
from bench.stage import PATIENCE_S, Stage, raw_client
from contracts import subjects, tokens
from contracts.codec import encode
from contracts.operations import BY_NAME

CHROMIUM = "/usr/bin/chromium"
AGENTS, TASKS = 1_000, 10_000
PER_S = 50
SECONDS = 10
SERVICES = ("gateway", "assigner", "pinger", "monitor", "escalator", "relay")
FIRST = {"fleet": ".card", "tasks": ".task"}  # what is useful to see of each view
CHANGED = "/tasks?sort=changed"  # what has changed last stands on top: the list moves with every event
UNTIL = """shown => new Promise(done => (function look() {
  document.querySelector(shown) ? done(performance.now()) : requestAnimationFrame(look);
})())"""
FRAMES = """seconds => new Promise(done => {
  const took = [], end = performance.now() + seconds * 1000;
  let last = performance.now();
  requestAnimationFrame(function next(at) {
    took.push(at - last);
    last = at;
    at < end ? requestAnimationFrame(next) : done(took.slice(1));
  });
})"""


async def measure(*, quick: bool) -> list[Figure]:
    """Return the lines of the table."""
    agents, tasks, seconds = (100, 1_000, 1) if quick else (AGENTS, TASKS, SECONDS)
    figures: list[Figure] = []
    async with door() as on:
        leases(on.path, tasks, agents=agents)
        async with gateway(on, *SERVICES) as url, chromium() as browser:
            page = await entered(browser, url)
            for view, shown in FIRST.items():
                figures.append(
                    await seen(
                        page, url + (CHANGED if view == "tasks" else "/fleet"), view, shown, agents, tasks
                    )
                )
                figures.append(await drawn(on, page, view, tasks, seconds))
    return figures


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start one, without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--enable-precise-memory-info"]
        )
        yield browser
        await browser.close()


async def entered(browser: Browser, url: str) -> Page:
    """Return a page in which somebody has followed a link."""
    drawn, code = (tokens.token(kind, secrets.token_bytes(32)) for kind in ("admin", "link"))
    async with httpx.AsyncClient(base_url=f"{url}/api/v1") as client:
        for token, path, said in (
            (TOKEN, "/tokens", {"name": "bench", "scope": "admin"} | digests(drawn)),
            (drawn, "/logins", {"scope": "operator"} | digests(code)),
        ):
            answer = await client.post(path, json=said, headers={"authorization": f"Bearer {token}"})
            answer.raise_for_status()
    page = await browser.new_page(viewport={"width": 1440, "height": 900})
    await page.goto(tokens.link(url, code))
    await page.wait_for_selector(".live.t-good")
    return page


def digests(token: str) -> dict[str, str]:
    """Return what of a token is told."""
    return {"prefix": tokens.prefix(token), "digest": tokens.digest(token)}


async def seen(page: Page, url: str, view: str, shown: str, agents: int, tasks: int) -> Figure:
    """Return how long after it was asked for a view shows its first rows, with nothing loaded before."""
    await page.goto(url)
    took: float = await page.evaluate(UNTIL, shown)
    return Figure(
        name=f"dashboard, {view}: first rows, {agents:,} agents, {tasks:,} tasks",
        value=f"{took:,.0f} ms",
        numbers={"first_ms": took},
    )


async def drawn(on: Stage, page: Page, view: str, tasks: int, seconds: int) -> Figure:
    """Return how long its frames take while somebody acks one task after another."""
    await page.locator(".found", has_text="so far").wait_for(state="detached")  # all pages are read
    acks = asyncio.create_task(ack(on, seconds * PER_S, tasks))
    took: list[float] = await page.evaluate(FRAMES, seconds)
    last = await acks
    if view == "tasks":  # it has really moved
        await page.locator('.task[aria-posinset="1"] .id', has_text=f"#{last}").wait_for()
    heap: Any = await page.evaluate("performance.memory.usedJSHeapSize")
    p50, p95, worst = percentile(took, 0.5), percentile(took, 0.95), max(took)
    return Figure(
        name=f"dashboard, {view}: frames while {PER_S} events/s come",
        value=f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, worst {worst:.0f} ms; heap {heap / 1e6:.0f} MB",
        numbers={"p50_ms": p50, "p95_ms": p95, "max_ms": worst, "heap_mb": heap / 1e6},
    )


async def ack(on: Stage, count: int, tasks: int) -> int:
    """Let an operator ack one task after another, at an even pace; each changes its agent too."""
    verb = BY_NAME["task.ack"]
    where = f"{on.settings.root}.{subjects.command(verb.owner, verb.verb, 'bench')}"
    task = 0
    loop = asyncio.get_running_loop()
    async with raw_client(on.url) as client:
        began = loop.time()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / PER_S - loop.time()))
            task = number * 7919 % tasks + 1
            answer = await client.request(
                where, encode({"task": task, "command_id": str(uuid4())}), PATIENCE_S
            )
            if answer.headers:  # only a refusal has some
                raise RuntimeError(answer.data.decode())
    return task
