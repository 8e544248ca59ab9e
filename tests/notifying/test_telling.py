"""People are told of each condition once when it begins and once when it is over, and never too often."""

import asyncio
import hashlib
import hmac
import socket
import threading
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.policy import default
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest

from contracts.notifying import (
    KINDS,
    MINUTE_US,
    Answer,
    Job,
    Kind,
    Manner,
    NotificationRow,
    Receivers,
    Way,
    WayRow,
)
from domain.notifying import telling
from services.notifier import mailing, ways
from tests.notifying.conftest import Hook, Open, Postbox
from tests.support.nats import until

KEY = "whsec_" + b64encode(b"k" * 24).decode()


async def test_a_condition_is_told_once_and_its_end_once(told: Open, hook: Hook) -> None:
    receivers = Receivers(webhook_url=hook.url, webhook_key=KEY)
    link = "https://rollcall.example"
    async with told(receivers, port=hook.port, manner=lambda _: Manner(link=link)) as people:
        task = await people.exhausted()
        await people.until(1)
        await until(lambda: bool(hook.got))
        path, headers, body = hook.got[0]
        assert (path, body["title"]) == ("/hook", f"Rollcall: nobody answers about task {task}")
        assert (body["link"], body["urgent"]) == (f"{link}/tasks/{task}", True)
        said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + hook.raw[0]
        wanted = hmac.digest(b64decode(KEY.removeprefix("whsec_")), said, hashlib.sha256)
        assert headers["webhook-signature"] == f"v1,{b64encode(wanted).decode()}"
        await people.world.forward(minutes=3)
        await people.world.operator("task.cancel", task=task)
        await people.until(1, over=True)
        await until(lambda: len(hook.got) > 1)
        assert hook.titles[1] == f"Rollcall: over: nobody answers about task {task}"
        await people.world.forward(minutes=30)
        assert len(hook.got) == 2
        assert [event["event"] for event in people.world.events("raised", of="notification")] == ["raised"]
        assert [event["data"]["kind"] for event in people.world.events("over", of="notification")] == [
            "exhausted"
        ]
        assert {(one.way, one.ok, one.answer) for one in await people.sent()} == {
            ("webhook", True, "answered 200"),
            ("log", True, "written"),
        }


async def test_nothing_that_was_said_leaves_the_house_unless_allowed(told: Open, hook: Hook) -> None:
    async with told(Receivers(webhook_url=hook.url), port=hook.port) as people:
        await people.world.agent("bob")
        await people.world.task("the secret plan")
        await people.world.says("bob", "wait", 1, on="human", who="carol", reason="a secret reason")
        await until(lambda: bool(hook.got))
        assert "secret" not in str(hook.got)
        assert hook.titles == ["Rollcall: bob waits for a human about task 1"]
        assert (await people.listed()).items[0].why == "a secret reason"
    assert "carol" in telling.message("log", [row(1, why="carol")], 1, Manner(content=True)).title


async def test_words_of_several_lines_are_one_line_of_mail(told: Open, postbox: Postbox) -> None:
    receivers = Receivers(mail_server=f"smtp://127.0.0.1:{postbox.port}", mail_to=("a@example.com",))
    async with told(receivers, manner=lambda _: Manner(content=True)) as people:
        _, lease = await people.world.given("bob")
        await people.world.says(
            "bob", "wait", lease, on="human", reason="may I?\nBcc: eve@example.com\n\nplease"
        )
        await until(lambda: bool(postbox.letters))
        (letter,) = [message_from_bytes(one.content, policy=default) for one in postbox.letters]
        assert letter["Subject"].endswith("(may I? Bcc: eve@example.com please)")
        assert letter["Bcc"] is None


async def test_a_way_that_was_taken_out_of_the_configuration_is_no_condition_for_ever(told: Open) -> None:
    async with told(Receivers()) as people:
        next_at = people.world.clock.at + MINUTE_US
        failed = f"INSERT INTO notify_ways VALUES ('slack', 0, '[]', 0, {next_at}, 3, 'answered 500')"
        await people.world.house.store._writing.call(lambda connection: connection.execute(failed))
        await people.until(1)
        await people.world.forward(hours=25)
        await people.until(1, over=True)


async def test_each_way_gets_what_it_reads(told: Open, hook: Hook, postbox: Postbox) -> None:
    """Over HTTP and by mail, for real."""
    receivers = Receivers(
        ntfy_url=hook.url.replace("/hook", "/topic"),
        ntfy_token="tk_1",
        slack_url=hook.url,
        mail_server=f"smtp://127.0.0.1:{postbox.port}",
        mail_to=("ann@example.com", "bob@example.com"),
    )
    async with told(receivers, port=hook.port, manner=lambda _: Manner(link="http://h")) as people:
        task = await people.exhausted()
        await until(lambda: len(hook.got) == 2 and bool(postbox.letters))
        by_path = {path: (headers, body) for path, headers, body in hook.got}
        headers, body = by_path["/"]
        assert headers["authorization"] == "Bearer tk_1"
        assert (body["topic"], body["priority"], body["click"]) == ("topic", 5, f"http://h/tasks/{task}")
        assert (
            by_path["/hook"][1]["text"]
            == f"*Rollcall: nobody answers about task {task}*\n<http://h/tasks/{task}>"
        )
        (letter,) = postbox.letters
        assert letter.rcpt_tos == ["ann@example.com", "bob@example.com"]
        text = letter.content.decode()
        assert f"Subject: Rollcall: nobody answers about task {task}" in text
        assert "Auto-Submitted: auto-generated" in text
        assert f"http://h/tasks/{task}" in text


def test_in_slack_and_what_speaks_like_it_nobody_is_called() -> None:
    said = ways._plain("<!channel> <@U1> @everyone @here & <https://x>")
    assert not [call for call in ("<", ">", "@everyone", "@here", "@U1") if call in said]


async def test_who_hangs_or_fails_keeps_nobody_waiting_and_is_seen(
    told: Open, hook: Hook, postbox: Postbox
) -> None:
    hook.status = 503
    postbox.refuses = "451 not now"
    receivers = Receivers(
        webhook_url=hook.url,
        slack_url=f"http://192.168.0.1:{hook.port}/x",
        mail_server=f"smtp://127.0.0.1:{postbox.port}",
        mail_to=("ann@example.com",),
    )
    async with told(receivers, port=hook.port) as people:
        task = await people.exhausted()
        await people.until_sent(1)  # the log
        await people.until_failed(3, times=1)
        answers = {one.way: one.answer for one in await people.sent() if not one.ok}
        assert answers["webhook"] == "answered 503"
        assert answers["mail"] == "SMTPDataError: it answered 451"
        assert "no public address" in answers["slack"]
        for minute in (1, 2):
            await people.world.forward(minutes=minute)
            await people.until_failed(3, times=minute + 1)
        await people.until(1)
        open_ones = {(one.kind, one.subject) for one in (await people.listed(open=True)).items}
        await until(lambda: len(people.world.rows("SELECT 1 FROM notifications WHERE kind = 'channel'")) == 3)
        assert ("exhausted", "Ruto") in open_ones
        said = {one.name: one.detail for one in (await people.world.operator("system.status")).findings}
        assert said.keys() >= {"notify.webhook", "notify.slack", "notify.mail"}
        assert "answered 503" in said["notify.webhook"]
        hook.status = 200
        await people.world.forward(minutes=20)
        await until(lambda: bool(hook.got))
        assert f"nobody answers about task {task}" in str(hook.got)
        await until(
            lambda: bool(people.world.rows("SELECT 1 FROM notifications WHERE over AND subject = 'webhook'"))
        )


async def test_who_hangs_is_given_up(told: Open, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.notifier.SENT_S", 0.2)
    hook.hangs = True
    async with told(Receivers(webhook_url=hook.url), port=hook.port) as people:
        await people.exhausted()
        await people.until_sent(1)
        await people.until_sent(1, ok=False)
        assert "given up after 0.2 s" in {one.answer for one in await people.sent()}
        assert (await people.world.operator("system.status")).incarnation


@pytest.mark.parametrize("server", ["smtp://mail.example", "smtp://127.0.0.1"])
async def test_names_that_hang_take_no_thread_from_others(
    told: Open, postbox: Postbox, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """All that the system is asked about names hangs, but for addresses; others have one thread."""
    free, sound = threading.Event(), socket.getaddrinfo

    def look(host: str, *args: Any, **named: Any) -> Any:
        if host.endswith(".example") and not free.wait(60):
            raise OSError("the test is over")
        return sound("127.0.0.1" if host.endswith(".example") else host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    monkeypatch.setattr(socket, "getfqdn", lambda: look("own.example", 25))
    monkeypatch.setattr("services.notifier.SENT_S", 0.3)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    receivers = Receivers(
        webhook_url="https://a.example/x",
        slack_url="https://b.example/x",
        mail_server=f"{server}:{postbox.port}",
        mail_to=("ann@example.com",),
    )
    try:
        async with told(receivers, port=443) as people:
            await people.exhausted()
            await people.until_sent(1)  # the log
            hang = 3 if "example" in server else 2
            await people.until_failed(hang, times=1)
            with anyio.fail_after(10):
                assert await asyncio.to_thread(int) == 0
            await until(lambda: len(postbox.letters) == 3 - hang)
            assert {one.answer for one in await people.sent() if not one.ok} == {"given up after 0.3 s"}
    finally:
        free.set()


@pytest.mark.parametrize(("own", "named"), [("192.0.2.7", "[192.0.2.7]"), ("fe80::1%lo", "[IPv6:fe80::1]")])
def test_a_mail_server_is_greeted_by_our_address(own: str, named: str) -> None:
    """As RFC 5321 writes one, of either version."""
    line: Any = SimpleNamespace(getsockname=lambda: (own, 25))
    assert mailing._named(line) == named


async def test_many_at_once_are_one_message_and_the_throttles_hold(told: Open, hook: Hook) -> None:
    async with told(Receivers(webhook_url=hook.url, log=False), port=hook.port) as people:
        for number in range(30):
            _, lease = await people.world.given(f"a{number}")
            await people.world.says(f"a{number}", "wait", lease, on="human")
        await people.until(30)
        await until(lambda: bool(hook.got))
        first = hook.got[0][2]["items"]
        for _ in range(20):
            await people.world.forward(minutes=1)
            await people.listed()
        assert sum(body["items"] for _, _, body in hook.got) == 30
        assert first < 30
        assert len(hook.got) <= 3


async def test_a_test_message_is_sent_at_once_and_answered(told: Open, hook: Hook) -> None:
    async with told(Receivers(webhook_url=hook.url), port=hook.port) as people:
        tried = (await people.world.operator("notification.test")).items
        assert [(one.way, one.ok) for one in tried] == [("log", True), ("webhook", True)]
        hook.status = 404
        (tried,) = (await people.world.operator("notification.test", way="webhook")).items
        assert (tried.ok, tried.answer) == (False, "answered 404")
        assert [one.test for one in await people.sent()] == [True] * 3
        assert not people.world.rows("SELECT 1 FROM notify_ways")  # it counts for nothing


async def test_what_is_read_is_each_readers_own(told: Open) -> None:
    async with told(Receivers()) as people:
        for number in (1, 2):
            _, lease = await people.world.given(f"a{number}")
            await people.world.says(f"a{number}", "wait", lease, on="human")
        await people.until(2)
        listed = await people.listed(limit=1)
        assert (listed.open, listed.unread, len(listed.items)) == (2, 2, 1)
        assert len((await people.listed(after=listed.next)).items) == 1
        await people.world.operator("notification.read", until=1)
        assert (await people.listed()).unread == 1
        assert (await people.world.operator("notification.read")).seen == 2
        assert (await people.listed()).unread == 0
        other = people.world.rows("SELECT name FROM notify_readers")
        assert other == [("tester",)]


async def test_two_notifiers_tell_once(told: Open, hook: Hook) -> None:
    async with told(Receivers(webhook_url=hook.url, log=False), port=hook.port, houses=2) as people:
        await people.exhausted()
        await until(lambda: bool(hook.got))
        await people.world.forward(minutes=5)
        assert len(hook.got) == 1


def row(
    number: int, kind: Kind = "human", *, over: bool = False, why: str = "", task: int | None = 7
) -> NotificationRow:
    return NotificationRow(
        id=number,
        key=f"k{number}",
        kind=kind,
        task_id=task,
        subject="bob",
        why=why,
        at=0,
        over=over,
    )


def taken(now: int, known: WayRow | None, *news: NotificationRow, quiet: bool = False) -> bool:
    rows = [] if known is None else [known]
    found = telling.take("log", now, known=rows, news=news, until=9, manner=Manner(quiet=quiet))
    return found.answer is not None


@pytest.mark.parametrize(
    ("sent", "free"),
    [
        ((), True),
        ((-30_000_000,), False),
        ((-61_000_000,), True),
        (tuple(-MINUTE_US * n - 1 for n in range(2, 7)), False),
        (tuple(-MINUTE_US * n - 1 for n in (2, 4, 6, 8, 16)), True),
        (tuple(-MINUTE_US * n - 1 for n in (2, 8, 14, 20, 25, 30, 35, 40, 45, 50, 55)), False),
        (tuple(-MINUTE_US * n - 1 for n in (2, 8, 14, 20, 25, 30, 35, 40, 45, 50, 61)), True),
    ],
)
def test_the_throttles(sent: tuple[int, ...], free: bool) -> None:  # noqa: FBT001 - a table
    now = 10**12
    known = WayRow(way="log", told=0, sent=tuple(now + at for at in sent))
    assert taken(now, known, row(1)) is free


def test_quiet_hours_let_only_the_urgent_through() -> None:
    assert not taken(0, None, row(1), quiet=True)
    assert taken(0, None, row(1), row(2, "exhausted"), quiet=True)
    assert taken(0, None, row(1))
    assert not taken(0, None)
    ended = row(2, "exhausted", over=True)
    assert not taken(0, None, row(1), ended, quiet=True)  # that it is over wakes nobody
    assert taken(0, None, ended)


def test_a_lease_and_a_pause_are_kept() -> None:
    assert not taken(5, WayRow(way="log", told=0, leased_until=6), row(1))
    assert not taken(5, WayRow(way="log", told=0, next_at=6), row(1))


def test_a_failed_message_is_tried_later_and_later() -> None:
    job = telling.message("log", [row(1)], 1, Manner())
    known: list[WayRow] = []
    waits = []
    for _ in range(8):
        changes = telling.done(job, Answer(ok=False, text="no"), 0, known=known)
        known = [change.record for change in changes.rows if isinstance(change.record, WayRow)]
        waits.append(known[0].next_at // 1_000_000)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    assert (known[0].tries, known[0].told) == (8, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_words(kind: Kind) -> None:
    job = telling.message(
        "log", [row(1, kind, task=None if kind in {"dead", "alarm"} else 7)], 1, Manner(link="h")
    )
    assert job.title.startswith("Rollcall: ")
    assert "{" not in job.title
    assert job.link in {"h/tasks/7", "h/fleet", "h/health"}


def test_a_long_list_is_cut_and_counted() -> None:
    news = [row(n) for n in range(1, 30)] + [row(30, "dead", over=True)]
    job = telling.message("log", news, 30, Manner(link="h"))
    assert (job.lines[-1], len(job.lines), job.link) == ("and 10 more", 21, "h/")


@pytest.mark.parametrize(
    ("news", "title"),
    [
        ([row(1, "channel"), row(2, "channel")], "2 ways of telling people fail"),
        ([row(1), row(2, "dead", over=True)], "bob waits for a human about task 7, and 1 more"),
        ([row(1), row(2), row(3, "alarm", why="hush")], "alarm: bob, and 2 more"),
        ([row(1, over=True), row(2, over=True)], "over: 2 agents wait for a human"),
        ([row(1, "dead", over=True), row(2, "due")], "the due date of task 7 has passed, and 1 more"),
    ],
)
def test_the_title_of_several_is_in_words_the_most_pressing_first(
    news: list[NotificationRow], title: str
) -> None:
    for content in (False, True):
        job = telling.message("log", news, 9, Manner(content=content))
        assert job.title == f"Rollcall: {title}"
    assert "{" not in telling.message("log", news * 2, 9, Manner()).title


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_words_for_several(kind: Kind) -> None:
    assert "2" in telling.message("log", [row(1, kind), row(2, kind)], 2, Manner()).title


def test_a_job_survives_the_way_through_the_store() -> None:
    job = telling.message("mail", [row(1)], 1, Manner())
    ways: tuple[Way, ...] = ("mail",)
    assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job
    assert job.way in ways
