"""What operators do in the dashboard, from the click to the row in the store."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from services.gateway.events import KEEP_ALIVE_S
from tests.dashboard.conftest import Eyes
from tests.dashboard.house import ROOT, House, open_house
from tests.support.nats import until

API = ROOT / "services/gateway/dashboard/js/api.js"

pytestmark = pytest.mark.timeout(120)


async def at(page: Page, house: House, path: str) -> None:
    await page.goto(house.url + path)
    await expect(page.locator(".live.t-good")).to_be_visible()


def one(house: House, title: str, column: str) -> object:
    """Return a column of the newest assignment of a task."""
    joined = "assignments a JOIN tasks t ON t.id = a.task_id"
    query = f"SELECT a.{column} FROM {joined} WHERE t.title = ? ORDER BY a.id DESC"
    return house.sql(query, title)[0][0]


async def test_who_needs_somebody_is_helped_at_once(eyes: Eyes, house: House) -> None:
    page = await eyes.page("390")
    silent, vain, licence, ship = (
        "Migrate the audit table without a lock",
        "Rotate the signing keys",
        "Which licence may the vendored icons have?",
        "Approve the release of 2.4",
    )
    await expect(page.get_by_role("button", name=re.compile("^All"))).to_contain_text("9")
    await page.locator(".need", has_text=silent).get_by_role("button", name="Ack").click()
    await expect(page.locator(".need", has_text=silent)).to_have_count(0)
    assert one(house, silent, "answered_attempt") == 4
    await page.locator(".need", has_text=vain).get_by_role("button", name="Snooze").click()
    await expect(page.locator(".need", has_text=vain)).to_have_count(0)
    assert one(house, vain, "status") == "snoozed"
    await page.locator(".need", has_text=licence).get_by_role("button", name="Answer").click()
    await page.get_by_label("Your answer").fill("Yes, with a line in the about page.")
    await page.get_by_role("dialog").get_by_role("button", name="Answer").click()
    await expect(page.locator(".need", has_text=licence)).to_have_count(0)
    assert one(house, licence, "status") == "acknowledged"
    assert "about page" in house.sql("SELECT text FROM notices WHERE kind = 'answered'")[0][0]
    await page.locator(".need", has_text=ship).get_by_role("button", name="Reassign").click()
    await page.get_by_label("Agent").select_option("builder-1")
    await page.get_by_role("dialog").get_by_role("button", name="Reassign").click()
    await expect(page.locator(".need", has_text=ship)).to_have_count(0)
    await page.goto("about:blank")  # who leaves has not undone it
    await until(lambda: one(house, ship, "agent") == "builder-1")
    actors = {actor for (actor,) in house.sql("SELECT actor FROM audit WHERE event LIKE 'operator_%'")}
    assert len(actors) == 1
    assert re.fullmatch(r"operator:olga-[0-9a-f]{6}", actors.pop())


async def test_by_keyboard_alone(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    await expect(page.locator(".need")).to_have_count(9)
    await page.keyboard.press("j")
    await expect(page.locator(".need", has_text="Approve the release").locator(":focus")).to_have_count(1)
    await page.keyboard.press("y")
    await expect(page.locator(".need", has_text="Approve the release")).to_have_count(0)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await expect(page).to_have_url(re.compile("/tasks$"))
    await page.keyboard.press("/")
    await page.keyboard.type("state machine")
    await expect(page.locator(".task")).to_have_count(2)
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"/tasks/\d+$"))
    number = page.url.rpartition("/")[2]
    await page.go_back()
    await expect(page.locator(f".task[data-key='{number}'] a:focus")).to_have_count(1)


async def test_who_comes_second_reads_that_it_was_not_done(eyes: Eyes, house: House) -> None:
    eyes.forgiven = ("409",)
    page = await eyes.page()

    async def late(route: Route) -> None:
        path = route.request.url.partition("/api/v1")[2]
        await house.ask("POST", path, {"text": "Another was quicker."})
        await route.continue_()

    await page.route("**/answer", late)
    await page.locator(".need", has_text="Approve the release").get_by_role("button", name="Approve").click()
    await expect(page.locator(".toast.bad")).to_have_text(re.compile("^Not answered: "))


async def test_a_network_that_dies_in_silence_is_noticed(eyes: Eyes, house: House) -> None:
    eyes.forgiven = ("ERR_INTERNET_DISCONNECTED",)
    page = await eyes.page()
    await page.context.set_offline(True)  # what is open stays open: nothing comes any more
    await expect(page.locator(".banner")).to_contain_text("is lost", timeout=9_000)
    await page.context.set_offline(False)
    await expect(page.locator(".live.t-good")).to_be_visible()
    quiet = re.search(r"QUIET_MS = (\d+)", API.read_text("utf-8"))
    assert quiet
    assert 2 * KEEP_ALIVE_S < int(quiet[1]) / 1000 <= 12


async def test_tasks_are_made_filtered_shared_cancelled_and_undone(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    await at(page, house, "/tasks")
    await page.get_by_role("button", name="New task").click()
    await page.get_by_label("Title").fill("Sweep the attic")
    await page.get_by_label("Agent", exact=True).last.select_option("reviewer")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", name="Sweep the attic")).to_be_visible()
    assert one(house, "Sweep the attic", "agent") == "reviewer"
    await at(page, house, "/tasks")
    await page.get_by_role("group", name="Statuses").get_by_role("button", name="To do").click()
    await page.get_by_label("Search tasks").fill("agent")
    await expect(page.locator(".task").first).to_contain_text(re.compile("agent", re.IGNORECASE))
    count = await page.locator(".task").count()
    assert 0 < count < 15
    shared = page.url
    assert "status=todo" in shared
    assert "q=agent" in shared
    other = await eyes.page()
    await other.goto(shared)
    await expect(other.locator(".task")).to_have_count(count)
    for box in await page.get_by_role("checkbox").all():
        await box.check()
    await page.get_by_role("button", name="Cancel tasks").click()
    await expect(page.locator(".task.gone")).to_have_count(count)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator(".task.gone")).to_have_count(0)
    cancelled = "SELECT count(*) FROM tasks WHERE status = 'cancelled'"
    assert house.sql(cancelled)[0][0] == 1
    await page.get_by_role("checkbox").first.check()
    await page.get_by_role("button", name="Cancel tasks").click()
    await expect(page.locator(".task.gone")).to_have_count(1)
    await page.goto("about:blank")  # who leaves has not undone it
    await until(lambda: house.sql(cancelled)[0][0] == 2)


async def test_a_policy_is_tried_and_written_and_a_second_operator_is_not_overruled(
    eyes: Eyes, house: House
) -> None:
    eyes.forgiven = ("412", "409")
    page = await eyes.page()
    await at(page, house, "/escalations?policy=default")
    await page.get_by_role("button", name="TOML").click()
    area = page.get_by_label("Policy as TOML")
    await expect(area).to_have_value('[[steps]]\nkind = "main"')
    await area.fill('[[steps]]\nkind = "pear"')
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_text("kind is one of")).to_be_visible()
    await area.fill('[[steps]]\nkind = "retry"\n\n[[steps]]\nkind = "main"')
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_text("What would change now")).to_be_visible()
    await expect(page.locator(".diff ins").first).to_contain_text("retry taken")
    other = await eyes.page()
    await at(other, house, "/escalations?policy=default")
    await other.get_by_role("button", name="Add step").click()
    await page.get_by_role("button", name="Save").click()
    await until(
        lambda: len(json.loads(house.sql("SELECT steps FROM policies WHERE name = 'default'")[0][0])) == 2
    )
    await other.get_by_role("button", name="Save").click()
    await expect(other.locator(".editor .wrong")).not_to_be_empty()
    steps = json.loads(house.sql("SELECT steps FROM policies WHERE name = 'default'")[0][0])
    assert [step["kind"] for step in steps] == ["retry", "main"]


async def test_the_stream_drops_and_comes_back_without_a_reload(browser: Browser, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with open_house(tmp_path / "state", {"http.port": port}) as first:
        await first.task("Made before")
        eyes = Eyes(browser, first)
        page = await eyes.page()
        await at(page, first, "/tasks")
        await page.evaluate("window.same = true")
        await expect(page.locator(".task", has_text="Made before")).to_be_visible()
    await expect(page.locator(".banner")).to_contain_text("old", timeout=20_000)
    async with open_house(tmp_path / "state", {"http.port": port}) as second:
        await second.task("Made while nobody looked")
        await page.evaluate("dispatchEvent(new Event('online'))")  # it would try again by itself, later
        await expect(page.locator(".banner")).to_be_hidden(timeout=30_000)
        await expect(page.locator(".task", has_text="Made while nobody looked")).to_be_visible()
        assert await page.evaluate("window.same")
    eyes.forgiven = ("Failed to load resource",)
    eyes.check()


async def test_what_a_second_operator_does_is_seen_at_once(eyes: Eyes, house: House) -> None:
    first, second = await eyes.page(), await eyes.page("390", "dark")
    await at(first, house, "/tasks/2")
    await at(second, house, "/tasks/2")
    await second.get_by_label("Comment").fill("from the other side")
    await second.get_by_role("button", name="Comment").click()
    await expect(first.get_by_text("from the other side")).to_be_visible()
    await first.get_by_role("button", name="Reassign").click()
    await first.get_by_label("Agent").select_option("reviewer")
    await first.get_by_role("dialog").get_by_role("button", name="Reassign").click()
    await expect(first.get_by_text("goes to reviewer")).to_be_visible()
    await expect(first.get_by_role("button", name="Undo")).to_be_visible()
    await at(first, house, "/tasks/2")  # who leaves has not undone it
    await expect(second.locator(".meta")).to_contain_text("reviewer")
    await first.get_by_label("New todo").fill("Look at it twice")
    await first.get_by_role("button", name="Add todo").click()
    await second.get_by_label("Look at it twice").click()
    await expect(first.get_by_label("Look at it twice")).to_be_checked()
    await at(first, house, "/escalations")
    await expect(first.locator(".chain li").nth(1)).to_contain_text("nobody eligible")


async def test_who_may_only_look_has_no_buttons_that_change(eyes: Eyes, house: House) -> None:
    page = await eyes.page(scope="read_only")
    await expect(page.locator(".need")).to_have_count(9)
    await expect(page.get_by_role("button", name="Ack")).to_have_count(0)
    await at(page, house, "/tasks")
    await expect(page.locator(".task").first).to_be_visible()
    await expect(page.get_by_role("checkbox")).to_have_count(0)
    await expect(page.get_by_role("button", name="New task")).to_have_count(0)
    await page.get_by_role("button", name="Keys").click()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_text("You have logged out.")).to_be_visible()
    await page.goto(house.url)
    eyes.forgiven = ("401",)
    await expect(page.get_by_text("Nobody is logged in here.")).to_be_visible()
