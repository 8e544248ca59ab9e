"""Rules are written, shown, tried and listed; they count from the next message on, without a restart."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.intake import defaults
from tests.gateway.web import Web, open_web
from tests.intake.conftest import Talk
from tests.support.asking import Refused
from tests.support.world import World

RULES = '[[rule]]\nname = "moon"\nthen = "create"\nany = ["moon"]\npriority = "P0"\ndue = "4h"\n'


async def test_rules_count_from_the_next_message_on(world: World, talk: Talk) -> None:
    assert (await talk.says("bob", "to the moon"))["outcome"] == "ignored"
    written = await world.operator("rule.set", toml=RULES)
    assert (written.version, written.set_by) == (1, "operator:tester")
    assert (await talk.says("bob", "to the moon"))["rule"] == "moon"
    listed = await world.operator("rule.ls")
    assert [(item.name, item.looks_for) for item in listed.items] == [("moon", "any of 1 phrases")]
    assert world.events("changed", of="rules")[0]["data"] == {"rules": ["moon"]}


async def test_rules_that_cannot_be_read_change_nothing(world: World, talk: Talk) -> None:
    await world.operator("rule.set", toml=RULES)
    with pytest.raises(Refused) as refused:
        await world.operator("rule.set", toml=RULES.replace("priority", "priorty"))
    assert refused.value.problem.fields == {
        "rule[moon].priorty": "unknown key 'priorty'; did you mean priority?"
    }
    assert (await talk.says("bob", "the moon"))["outcome"] == "created"
    assert (await world.operator("rule.show")).version == 1


async def test_who_would_overwrite_what_another_wrote_is_refused(world: World) -> None:
    await world.operator("rule.set", toml=RULES, expected_version=0)
    with pytest.raises(Refused, match="at version 1"):
        await world.operator("rule.set", toml=RULES, expected_version=0)
    assert (await world.operator("rule.set", toml=RULES, expected_version=1)).version == 2


async def test_each_version_can_be_shown(world: World) -> None:
    shown = await world.operator("rule.show")
    assert (shown.version, shown.set_at, shown.toml) == (0, None, defaults())
    await world.operator("rule.set", toml=RULES)
    assert (await world.operator("rule.show")).toml == RULES
    assert (await world.operator("rule.show", version=0)).toml == defaults()
    assert (await world.operator("rule.show", version=1)).set_at is not None
    with pytest.raises(Refused, match="no rules of version 7"):
        await world.operator("rule.show", version=7)


async def test_trying_says_what_would_happen_and_why_and_keeps_nothing(world: World, talk: Talk) -> None:
    tried = await world.operator("intake.try", text="to the moon", toml=RULES, sender="bob", sort="agent")
    assert (tried.outcome, tried.rule, tried.reason) == ("created", "moon", "“moon”")
    made = tried.would_make
    assert (made.title, made.priority, made.draft) == ("to the moon", "P0", True)
    assert made.due_at is not None
    tried = await world.operator("intake.try", text="What time is it?")
    assert (tried.outcome, tried.rule, tried.would_make) == ("ignored", "questions", None)
    assert [one.rule for one in tried.tried][-1] == "questions"
    assert not talk.kept()
    assert not world.rows("SELECT 1 FROM tasks")
    await world.operator("rule.set", toml=RULES)
    await talk.says("bob", "to the moon")
    tried = await world.operator("intake.try", text="To the moon!")
    assert (tried.outcome, tried.task) == ("updated", 1)
    with pytest.raises(Refused, match="did you mean rule"):
        await world.operator("intake.try", text="x", toml="[[rules]]")


async def test_every_rule_is_listed_with_what_it_looks_for(world: World) -> None:
    text = RULES.replace(
        'any = ["moon"]',
        'all = ["a"]\nnone = ["b"]\nquestion = true\nactions = 2\nminutes = 5\n'
        'senders = ["x"]\nchannels = ["y"]',
    )
    more = (
        '[[rule]]\nname = "rest"\nthen = "ignore"\n[[rule]]\nname = "r"\nthen = "ignore"\nquestion = false\n'
    )
    await world.operator("rule.set", toml=text + more)
    first, second, third = (await world.operator("rule.ls")).items
    assert first.looks_for == "all of a, none of 1 phrases, a question, 2 actions, 5 minutes, from x, in y"
    assert (second.looks_for, third.looks_for) == ("whatever is said", "no question")


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    async with open_web(tmp_path) as found:
        yield found


async def test_over_http_agents_speak_for_themselves_and_rules_are_the_admins(web: Web) -> None:
    await web.world.agent("bob")
    bob, operator = await web.caller("agent", agent="bob"), await web.caller("operator", name="ada")
    said = await bob.post("/agent/say", json={"text": "Please fix the bug", "channel": "general"})
    assert (said.status_code, said.json()["outcome"]) == (200, "created")
    said = await operator.post("/intake", json={"text": "Track this: buy milk"})
    assert said.json()["rule"] == "asked-for"
    senders = [one["sender"] for one in (await operator.get("/intake")).json()["items"]]
    assert senders == ["operator:ada", "agent:bob"]
    tried = await operator.get("/intake/rehearsal", params={"text": "Why?"})
    assert tried.json()["outcome"] == "ignored"
    assert (await bob.get("/intake")).status_code == 403
    assert (await operator.put("/rules/text", json={"toml": RULES})).status_code == 403
    admin = await web.client()
    assert (await admin.put("/rules/text", json={"toml": RULES, "expected_version": 0})).json()[
        "version"
    ] == 1
    bad = {"toml": RULES.replace("any", "ani")}
    wrong = await admin.put("/rules/text", json=bad, headers={"if-match": '"1"'})
    assert wrong.json()["fields"] == {"rule[moon].ani": "unknown key 'ani'; did you mean any?"}
    assert (await bob.post("/agent/say", json={"text": "a\u0000b"})).status_code == 422
