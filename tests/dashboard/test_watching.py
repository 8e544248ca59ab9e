"""What operators watch: what people are told, what passes over the bus, and why things happened."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, expect

from tests.dashboard.conftest import Eyes
from tests.dashboard.house import House, lease
from tests.dashboard.test_stories import at, one
from tests.support.nats import until

pytestmark = pytest.mark.timeout(120)

AUDIT = "Migrate the audit table without a lock"


async def number(badge: Locator) -> int:
    return int(await badge.inner_text())


async def test_what_people_are_told_is_listed_and_counted_until_it_is_over(eyes: Eyes, house: House) -> None:
    page = await eyes.page("390")
    bell = page.get_by_role("link", name=re.compile("Notifications"))
    await expect(bell.locator(".count")).not_to_be_empty()
    before = await number(bell.locator(".count"))
    await page.keyboard.press("g")
    await page.keyboard.press("i")
    await expect(page.locator(".told li").first).to_be_visible()
    for place, key in ((0, "j"), (1, "j"), (0, "k")):
        await page.keyboard.press(key)
        await expect(page.locator(".told li").nth(place).locator(":focus")).to_have_count(1)
    licence = page.locator(".told li", has_text="May I use icons")
    await expect(licence).to_contain_text("Waits for a human")
    await expect(licence.locator("time")).to_have_count(1)
    await expect(bell.locator(".count.read")).to_have_count(1)  # whoever looks has read it
    await page.get_by_role("button", name="Send a test").click()
    await expect(page.locator(".panel", has_text="Sent").get_by_text("Rollcall: a test")).to_be_visible()
    (row,) = house.sql("SELECT id FROM assignments WHERE wait_reason LIKE 'May I use%' AND ended_at IS NULL")[
        0
    ]
    await house.say("painter", "resume", assignment=row)
    await expect(licence).to_have_count(0)
    await expect(bell.locator(".count")).to_have_text(str(before - 1))
    await page.get_by_role("button", name="All").click()
    await expect(licence).to_contain_text(re.compile(r"lasted \d+ \w+, over \d+ s ago"))
    looker = await eyes.page(scope="read_only")
    await at(looker, house, "/notifications")
    await expect(looker.locator(".told li").first).to_be_visible()
    await expect(looker.get_by_role("button", name="Send a test")).to_have_count(0)


async def test_what_was_escalated_stays_until_it_is_answered_and_stands_as_ended_then(
    eyes: Eyes, house: House
) -> None:
    house.change(lease(AUDIT), level=1, attempt=1)
    page = await eyes.page()
    row = page.locator(".need", has_text=AUDIT)
    await expect(row.locator(".status")).to_have_text("Escalated")
    await expect(row).to_contain_text("Escalated to night-owl, not answered yet")
    await expect(row.get_by_role("button", name="Reassign")).to_be_visible()
    await at(page, house, "/escalations")
    ended = page.locator("h2:has-text('Ended in the last hour') + ul > li")
    await expect(ended).to_have_count(1)
    await expect(ended).to_contain_text(re.compile("Longer heartbeat limits.*Completed by Ruto.*min ago"))
    await house.say("night-owl", "complete", assignment=one(house, AUDIT, "id"))
    await expect(page.get_by_text("No escalation runs")).to_be_visible()
    await expect(ended).to_have_count(2)
    await expect(ended.first).to_contain_text(re.compile(f"{AUDIT}.*Completed by night-owl.*s ago"))


async def test_pings_and_changes_are_tailed_filtered_paused_and_copied(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    looker = await eyes.page(scope="read_only")
    for each in (page, looker):
        await at(each, house, "/bus")
    task, _ = await house.task("Count the spoons", "builder-2")
    ping = page.locator(".event", has_text=re.compile(r"ping\.reviewer\.\d+")).filter(
        has_text="Count the spoons"
    )
    await house.ask("POST", f"/tasks/{task}/assign", {"agent": "reviewer"})
    await expect(ping.first).to_be_visible()
    change = re.compile(r"evt\.assignment\.\d+\.assigned")
    await expect(looker.locator(".event", has_text=change).first).to_be_visible()
    await expect(looker.locator(".event", has_text="ping.reviewer").first).to_be_visible()
    tops = await page.evaluate(
        "[...document.querySelectorAll('.event')].map(one => one.getBoundingClientRect().top)"
    )
    told = await page.locator(".event time").evaluate_all("times => times.map(one => one.dateTime)")
    assert told == sorted(told, reverse=True)  # two streams, by when it happened
    assert tops == sorted(tops)  # Tab and screen readers go by the order in the page
    search = page.get_by_label("Subject filter")
    await search.fill("ping.reviewer")
    await expect(page).to_have_url(re.compile("subject=ping.reviewer"))
    await expect(page.locator(".event", has_text="evt.")).to_have_count(0)
    await expect(ping.first).to_be_visible()
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Copy as nats").click()
    assert await page.evaluate("navigator.clipboard.readText()") == "nats sub 'rollcall.v1.ping.reviewer.>'"
    await search.fill("evt.*.*.commented")
    await search.blur()
    await page.keyboard.press(" ")
    await house.ask("POST", f"/tasks/{task}/comments", {"text": "a remark"})
    await expect(page.get_by_text(re.compile(r"paused, [1-9]\d* newer"))).to_be_visible()
    await expect(page.locator(".event")).to_have_count(0)
    await page.keyboard.press(" ")
    await expect(page.locator(".event")).to_contain_text("a remark")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    shown = page.get_by_label("Message", exact=True)
    await expect(shown).to_contain_text('"text": "a remark"')
    await page.keyboard.press("Escape")
    await expect(shown).to_be_hidden()


async def test_a_dead_letter_is_tried_again(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    await page.get_by_role("button", name="Dead letters").click()
    letter = page.locator("#letters li", has_text="NoneType")
    await expect(letter).to_be_visible(timeout=20_000)
    await letter.get_by_role("button", name="Replay").click()
    await expect(letter).to_have_count(0)
    assert one(house, "Nightly build is red on arm64", "quarantined") is None


async def test_a_task_says_what_happened_why_and_what_caused_it(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    (task,) = house.sql("SELECT id FROM tasks WHERE title LIKE 'Migrate the audit%'")[0]
    await at(page, house, f"/tasks/{task}")
    told = page.locator(".timeline li")
    await expect(told.filter(has_text="Step 2 (peer) skipped").locator(".hint")).to_contain_text(
        "nobody eligible"
    )
    await expect(told.filter(has_text="Ping 1 to night-owl").locator(".hint")).not_to_be_empty()
    (cause,) = house.sql("SELECT cause FROM audit WHERE event = 'created' AND aggregate_id = ?", str(task))[0]
    await expect(told.filter(has_text="Created").locator(".hint")).to_have_text(
        f"by operator:api · cause {cause[:8]}"
    )
    await expect(told.filter(has_text="Superseded: reassigned by operator:api")).to_have_count(1)
    await expect(told.filter(has_text=re.compile("^Assigned to"))).to_have_count(2)
    await expect(told.filter(has_text=re.compile("^Assigned: "))).to_have_count(0)
    await expect(page.get_by_text("If everybody stays silent")).to_be_visible()


async def test_many_are_changed_at_once_and_that_is_undone(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    await at(page, house, "/tasks?q=nightly")
    await expect(page.locator(".task")).to_have_count(2)
    for box in await page.get_by_role("checkbox").all():
        await box.check()
    await page.get_by_label("Priority of the chosen").select_option("P0")
    await expect(page.get_by_text("becomes P0")).to_have_count(2)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_text("becomes P0")).to_have_count(0)
    for box in await page.get_by_role("checkbox").all():
        await box.check()
    await page.get_by_role("button", name="Assign …").click()
    await page.get_by_role("dialog").get_by_label("Agent").select_option("builder-1")
    await page.get_by_role("dialog").get_by_role("button", name="Assign").click()
    await expect(page.get_by_text("goes to builder-1")).to_have_count(2)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_text("goes to builder-1")).to_have_count(0)
    titles = ("Ship the nightly", "Nightly build is red on arm64")
    before = [one(house, title, "agent") for title in titles]
    assert "builder-1" not in before
    for box in await page.get_by_role("checkbox").all():
        await box.check()
    await page.get_by_label("Priority of the chosen").select_option("P0")
    await page.goto("about:blank")
    await until(
        lambda: (
            {house.sql("SELECT priority FROM tasks WHERE title = ?", title)[0][0] for title in titles} == {0}
        )
    )
    assert [one(house, title, "agent") for title in titles] == before


async def test_the_fleet_is_seen_in_words_shapes_and_colours(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    await expect(page.get_by_role("group", name="Kinds").get_by_role("button")).to_have_count(8)  # All, and 7
    await at(page, house, "/fleet")
    groups = page.locator("h2.group")
    await expect(groups).to_contain_text(["In trouble · 4", "At work"])
    for name, word, shape, tone in (
        ("crashed-1", "Dead (unrecoverable)", "dead", "bad"),
        ("crashed-2", "Dead", "dead", "bad"),
        ("night-owl", "Suspect", "suspect", "warn"),
        ("painter", "Waiting", "waiting", "warn"),
    ):
        card = page.get_by_role("article", name=f"{name}, {word}", exact=True)
        await expect(card.locator(f".status.t-{tone}")).to_have_text(word)
        await expect(card.locator(".status use")).to_have_attribute("href", f"#i-{shape}")
        await expect(card.locator("time").first).not_to_be_empty()  # since when
    await expect(page.get_by_role("article", name=re.compile("^Ruto")).locator(".badge")).to_have_text("MAIN")
    owl = page.get_by_role("article", name=re.compile("^night-owl"))
    await expect(owl).to_contain_text(
        re.compile("Task #6 Migrate.*1/1.*backend.*timeout 30 min.*Never ack.*beat")
    )
    await expect(page.locator(".machine")).to_contain_text(re.compile("host-1.*heard"))
    await page.get_by_label("Search agents").fill("research")
    scout = page.get_by_role("article")
    await expect(scout).to_have_count(1)
    await expect(scout.locator(".badge", has_text="paused")).to_have_attribute("title", re.compile("budget"))
    await scout.get_by_role("button", name="scout").click()
    await page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    await expect(scout.locator(".badge", has_text="paused")).to_have_count(0)
    await page.get_by_role("dialog").get_by_role("button", name="Quarantine").click()
    await page.get_by_label("Reason").fill("it answers in riddles")
    await page.get_by_role("dialog").last.get_by_role("button", name="Quarantine", exact=True).click()
    await expect(scout.locator(".badge", has_text="quarantined")).to_have_count(1)


async def test_the_house_says_how_it_is(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    await at(page, house, "/health")
    for service in ("assigner", "pinger", "escalator", "monitor", "notifier"):
        await expect(page.get_by_role("row", name=re.compile(f"^{service} "))).to_contain_text(
            re.compile(r"\d s")
        )
    wrong = page.locator(".findings li", has_text="crashed-2")
    await expect(wrong).to_contain_text("Warning")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await wrong.get_by_role("button", name="Copy").click()
    assert await page.evaluate("navigator.clipboard.readText()") == "rollcall agent start crashed-2"


async def test_a_task_is_edited_and_given_to_another(eyes: Eyes, house: House) -> None:
    page = await eyes.page()
    await at(page, house, "/tasks/5")
    await page.get_by_role("button", name="Edit …").click()
    form = page.get_by_role("dialog")
    await expect(form.get_by_label("Agent").locator("option", has_text="Ruto")).to_contain_text("MAIN")
    await form.get_by_label("Title").fill("Tell an agent to come again")
    await form.get_by_label("Agent").select_option("builder-1")
    await form.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("#5 Tell an agent to come again")
    await expect(page.get_by_text("goes to builder-1")).to_be_visible()
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator(".meta")).to_contain_text("with reviewer")
    await at(page, house, "/tasks/13")
    await expect(page.locator(".meta")).to_contain_text("Cancelled")
    await page.get_by_role("button", name="Reopen").click()
    await expect(page.locator(".meta")).not_to_contain_text("Cancelled")
