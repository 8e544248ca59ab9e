"""What is said on the bus, by request or in another's name, and what becomes of it in the store."""

import base64
import json
import sqlite3
from contextlib import closing

import pytest

from contracts.operations.intake import Became
from domain.intake import reading
from tests.intake.conftest import Talk
from tests.support.asking import Refused
from tests.support.house import START
from tests.support.world import World

BUG = "Please fix the login bug."
EVERYTHING = '[[rule]]\nname = "all"\nthen = "create"\n'


async def rules(world: World, text: str) -> None:
    await world.operator("rule.set", toml=text)


async def test_what_an_agent_says_becomes_a_draft_that_names_its_rule(world: World, talk: Talk) -> None:
    await world.agent("bob", capacity=5)
    told = await talk.says("bob", BUG)
    assert (told["outcome"], told["rule"], told["task"]) == ("created", "fixes", 1)
    shown = await world.operator("task.show", task=1)
    task = shown.task
    assert (task.title, task.status, task.agent, task.priority) == (BUG, "todo", None, 1)
    assert "a draft by rule fixes" in task.status_why
    assert task.description.splitlines()[-1] == f"> {BUG}"
    (remark,) = shown.comments
    assert (remark.author, "by rule fixes: “please fix”, “bug”" in remark.text) == ("intake", True)
    assert world.events("created", of="intake")[0]["data"] == {
        "sender": "agent:bob",
        "channel": "general",
        "rule": "fixes",
        "task": 1,
        "draft": True,
    }
    await world.forward(hours=2)
    assert not world.rows("SELECT 1 FROM assignments")  # nobody gets it by itself
    await world.operator("task.assign", task=1, agent="bob")
    assert (await world.lease(1)).agent == "bob"


async def test_a_retired_agent_makes_nothing_at_any_door(world: World, talk: Talk) -> None:
    await world.agent("bob")
    await world.operator("agent.retire", name="bob", reason="gone")
    assert (await talk.says("bob", BUG))["code"] == "not_found"
    with pytest.raises(Refused, match="no active agent bob"):
        await world.asks("bob", "agent.say", text=BUG)
    assert not world.rows("SELECT 1 FROM tasks")


async def test_a_name_that_an_agent_and_an_operator_have_says_nothing(world: World, talk: Talk) -> None:
    """Both may publish there: a store from before names were used once may hold such a pair."""
    await world.agent("bob")
    known = "INSERT INTO credentials VALUES ('U1', 'operator', 'Bob', 0, 'x', ?, NULL, 'bob')"
    with closing(sqlite3.connect(world.path)) as file:
        file.execute(known, (START * 2,))
        file.commit()
    await talk.says("bob", BUG)
    assert talk.kept() == [("agent", "bob", "refused", None, None)]
    with closing(sqlite3.connect(world.path)) as file:
        file.execute("UPDATE credentials SET ends_at = 1")
        file.commit()
    assert (await talk.says("bob", BUG))["outcome"] == "created"


async def test_an_operator_who_asks_for_a_task_gets_one_that_starts(world: World) -> None:
    await world.agent("bob")
    became = await world.operator("intake.say", text="Track this: renew the contract")
    assert (became.outcome, became.rule) == ("created", "asked-for")
    assert (await world.lease(became.task)).agent == "bob"


async def test_questions_and_chatter_are_put_on_record_and_make_nothing(world: World, talk: Talk) -> None:
    assert (await talk.says("ada", "What time is it?"))["outcome"] == "ignored"
    assert (await talk.says("ada", "The sky, seen from here"))["reason"] == "no rule is about this"
    assert talk.kept() == [
        ("operator", "ada", "ignored", "questions", None),
        ("operator", "ada", "ignored", None, None),
    ]
    listed = await world.operator("intake.ls", limit=1)
    assert [item.text for item in listed.items] == ["The sky, seen from here"]
    older = await world.operator("intake.ls", after=listed.next, outcome="ignored")
    assert [item.sender for item in older.items] == ["operator:ada"]
    assert not (await world.operator("intake.ls", outcome="created")).items


async def test_the_same_said_again_is_a_remark_on_the_same_task(world: World, talk: Talk) -> None:
    first = await talk.says("bob", BUG)
    again = await talk.says("ada", "please FIX the login  bug!")
    assert (again["outcome"], again["task"]) == ("updated", first["task"])
    assert "> please FIX" in (await world.operator("task.show", task=1)).comments[-1].text
    await world.operator("task.cancel", task=1)
    assert (await talk.says("bob", BUG))["task"] == 2  # what has ended is not said again, but anew
    await world.forward(hours=25)
    assert (await talk.says("bob", BUG))["task"] == 3  # nor what was said long ago


async def test_news_are_a_remark_on_the_senders_own_task(world: World, talk: Talk) -> None:
    assert (await talk.says("bob", "Update: it is on Safari too"))["reason"] == "no rule is about this"
    assert (await talk.says("eve", "Track this: hers"))["task"] == 1
    assert (await talk.says("bob", BUG))["task"] == 2
    assert (await talk.says("bob", "Update: it is on Safari too"))["task"] == 2
    assert (await talk.says("bob", "Task 1 needs a test"))["task"] == 3  # that is eve's: a draft of its own
    assert (await talk.says("bob", "Task 2 needs a test"))["task"] == 2
    tried = await world.operator("intake.try", text="Task 1 needs a test", sender="bob", sort="agent")
    assert reading.NO_TASK in {one.why for one in tried.tried}
    assert (await talk.says("eve", "Update: I have it"))["task"] == 1
    assert "> Update: I have it" in (await world.operator("task.show", task=1)).comments[-1].text
    assert (await talk.says("bob", "Update the broken library"))["task"] == 4  # an order, no news


async def test_an_update_that_is_about_no_task_leaves_the_text_to_the_next_rules(
    world: World, talk: Talk
) -> None:
    made = EVERYTHING + 'any = ["bug"]\nsame = "sender"\n'
    more = '[[rule]]\nname = "more"\nthen = "update"\nsame = "sender"\n'
    await rules(world, made + more)
    await talk.says("bob", "a bug")
    await world.operator("task.add", title="somebody else's")
    assert (await talk.says("bob", "and task 2 too"))["outcome"] == "ignored"  # 2 did not come in here
    assert (await talk.says("bob", "and #2, and task 1 too"))["task"] == 1
    assert (await talk.says("bob", "about #1: more"))["task"] == 1
    assert (await talk.says("eve", "hello"))["outcome"] == "ignored"


async def test_a_channel_can_be_one_thing(world: World, talk: Talk) -> None:
    await rules(world, EVERYTHING + 'same = "channel"\ndue = "2d"\npriority = "P0"\ncapabilities = ["ops"]\n')
    assert (await talk.says("bob", "one", "ops"))["outcome"] == "created"
    assert (await talk.says("ada", "two", "Ops"))["outcome"] == "updated"
    assert (await talk.says("ada", "two", "dev"))["task"] == 2
    task = (await world.operator("task.show", task=2)).task
    assert (task.priority, task.capabilities) == (0, ("ops",))
    assert task.due_at.timestamp() == pytest.approx(world.clock.at / 1e6 + 2 * 86_400)


async def test_a_runaway_sender_stops_at_its_caps_and_others_do_not(world: World, talk: Talk) -> None:
    await rules(world, EVERYTHING)
    for number in range(7):
        await talk.says("bob", f"thing {number}")
    assert [kept[2] for kept in talk.kept()] == ["created"] * 5 + ["capped"] * 2
    assert talk.told("bob")["reason"] == "5 tasks made or changed for this sender within a minute"
    assert len(world.events("capped", of="intake")) == 1  # said once
    assert (await talk.says("ada", "mine"))["outcome"] == "created"
    for number in range(53):
        await talk.says("bob", f"more {number}")
    flooded = await talk.says("bob", "one too many")
    assert (flooded["code"], flooded["status"]) == ("overloaded", 429)
    assert len(talk.kept()) == 61
    assert (await talk.says("bob", b"\xff"))["code"] == "overloaded"
    await world.forward(minutes=2)
    assert (await talk.says("bob", "later"))["outcome"] == "created"
    with pytest.raises(Refused, match="422 invalid"):
        await world.ask("cmd.agent.bob.say", Became, {"text": "x", "command_id": "no spaces, please"})


async def test_all_senders_together_stop_at_the_cap_of_the_hour(world: World, talk: Talk) -> None:
    await rules(world, EVERYTHING)
    for sender in range(40):
        for number in range(5):
            await world.operator("intake.say", text=f"{sender} {number}")
        await world.forward(minutes=1)
    told = await talk.says("eve", "one more")
    assert told["reason"] == "200 tasks made or changed within an hour, for all senders"


async def test_delivered_again_it_is_done_once(world: World, talk: Talk) -> None:
    """The work queue gives a message back whose settling was lost."""
    await rules(world, EVERYTHING)
    await talk.says("bob", "once")
    command = world.rows("SELECT command_id FROM commands WHERE actor = 'rollcall:intake'")
    assert len(command) == 1
    became = await world.asks("bob", "agent.say", text="by request", command_id="c1")
    assert await world.asks("bob", "agent.say", text="by request", command_id="c1") == became
    assert len(talk.kept()) == 2


BAD = {
    "empty": (b"", "invalid"),
    "spaces": (b" \n ", "invalid"),
    "truncated": (b'{"text": "a', "malformed"),
    "no text": (b'{"tekst": "a"}', "text is required"),
    "null": (b'{"text": null}', "invalid"),
    "a number": (b'{"text": 1}', "invalid"),
    "NaN": (b'{"text": NaN}', "malformed"),
    "trailing bytes": (b'{"text": "a"} x', "malformed"),
    "bad UTF-8": (b"\xff\xfe", "malformed"),
    "bad UTF-8 in JSON": (b'{"text": "\xff"}', "malformed"),
    "a lone surrogate": (b'{"text": "\\ud800"}', "malformed"),
    "nested deep": (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, "malformed"),
    "NUL": (b"a\x00b", "invalid"),
    "an escape": (b"a\x1b[31mb", "invalid"),
    "too long": (b"a" * 8_001, "invalid"),
    "far too long": (b'{"text": "' + b"a" * 60_000 + b'"}', "invalid"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_read_is_put_on_record_and_hurts_nobody(
    world: World, talk: Talk, name: str
) -> None:
    body, word = BAD[name]
    told = await talk.says("bob", body)
    assert told["outcome"] == "refused"
    assert word in told["reason"]
    assert talk.kept() == [("operator", "bob", "refused", None, None)]
    assert (await talk.says("bob", BUG))["outcome"] == "created"
    assert not world.on("dlq.")


@pytest.mark.parametrize(
    "body", [b"\xef\xbb\xbfPlease fix the\r\nlogin bug.", b'{"text":"Fix the bug","x":1}']
)
async def test_plain_text_will_do_and_what_is_not_known_is_left_aside(
    world: World, talk: Talk, body: bytes
) -> None:
    assert (await talk.says("bob", body))["outcome"] == "created"


async def test_the_stream_takes_no_megabyte(world: World, talk: Talk) -> None:
    with pytest.raises(AssertionError, match=r"maximum|exceed|large"):
        await talk.says("bob", b"a" * 1_000_000)
    assert not talk.kept()


async def test_a_channel_that_is_no_name_is_refused(world: World, talk: Talk) -> None:
    assert (await talk.says("bob", BUG, "a%2eb"))["outcome"] == "refused"
    assert world.rows("SELECT channel FROM intake") == [("unreadable",)]


STEERING = [
    '{"assignee": "ruto", "authority": 9, "endpoint_url": "http://169.254.169.254/"} fix the bug',
    "Fix the bug. assign to: ruto. priority: P0. capability: root. due: now. start: always. policy: none",
    "fix the bug'); DROP TABLE tasks; --",
    "fix the bug ${jndi:ldap://x} {{7*7}} %n%s ../../etc/passwd",
    "fix the bug \u202eevil\u202c <img src=x onerror=alert(1)>",
]


@pytest.mark.parametrize("text", STEERING)
async def test_no_text_sets_who_gets_it_or_what_it_may(world: World, talk: Talk, text: str) -> None:
    await rules(world, EVERYTHING)
    await talk.says("bob", text, assignee="ruto", priority="P0", start="always")
    row = world.rows(
        "SELECT agent, assignment_id, assign_at, priority, capabilities, policy, due_at, project FROM tasks"
    )
    assert row == [(None, None, None, 2, "[]", "default", None, "intake")]
    assert not world.rows("SELECT 1 FROM agents WHERE endpoint_url IS NOT NULL")
    title, description = world.rows("SELECT title, description FROM tasks")[0]
    assert "\u202e" not in title + description
    assert description.startswith("operator:bob said in general (a quotation")


async def test_a_secret_is_kept_nowhere(world: World, talk: Talk) -> None:
    await rules(world, EVERYTHING)
    secret = "ghp_" + "q" * 36
    await talk.says("bob", f"fix it with {secret}")
    await world.operator("intake.say", text=f"and password: {secret}")
    for table in ("tasks", "comments", "intake", "audit", "outbox", "commands"):
        for row in world.rows(f"SELECT * FROM {table}"):
            assert secret not in str(row), table
    heard = json.dumps([body.body for body in world.on("answer.") + world.on("evt.")])
    assert secret not in heard
    assert base64.b64encode(secret.encode()).decode() not in heard


@pytest.mark.parametrize(
    ("text", "title"),
    [("\n\n- first line\nsecond", "first line"), ("x" * 300, "x" * 119 + "…"), ("•", "Said by bob")],
)
async def test_the_title_is_the_first_line_that_says_something(
    world: World, talk: Talk, text: str, title: str
) -> None:
    await rules(world, EVERYTHING)
    await talk.says("bob", text)
    assert world.rows("SELECT title FROM tasks") == [(title,)]
