"""What is typed becomes the right request, and its answer the right words."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from contracts.deliveries import key_bytes
from contracts.errors import ExistsError
from contracts.operations import ALL, BY_NAME
from rollcall.cli import verbs
from rollcall.cli.spans import minutes_until
from tests.cli.conftest import Bus, Command

OUTCOME = {"assignment": 5, "kind": "ack", "accepted": True, "status": "acknowledged"}
TASK = {"task": 7, "status": "todo"}
AT = "2026-01-31T12:00:00Z"


async def test_an_answer_goes_to_the_agents_own_subject(ann: Command, bus: Bus) -> None:
    bus.answer("ack", OUTCOME)
    done = await ann("ack", "5", "--attempt", "2", "--session", "boot-1")
    assert (done.exit_code, done.stdout) == (0, "assignment 5: acknowledged\n")
    assert done.stderr == 'next: rollcall progress 5 "what you did"   (or: rollcall done 5)\n'
    ((subject, body, headers),) = bus.asked
    assert subject == "rollcall.v1.cmd.agent.ann.ack"
    assert len(body.pop("command_id")) == 36
    assert body == {"kind": "ack", "assignment": 5, "attempt": 2, "session": "boot-1"}
    assert headers["traceparent"].startswith("00-")


COMMANDS: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "progress": (
        ["progress", "5", "half way"],
        "progress",
        {"kind": "progress", "assignment": 5, "note": "half way"},
    ),
    "wait": (
        ["wait", "5", "human", "--who", "carol", "--resume-at", AT],
        "wait",
        {"kind": "wait", "assignment": 5, "on": "human", "who": "carol", "resume_at": AT},
    ),
    "snooze": (
        ["snooze", "5", "45", "--reason", "null"],
        "snooze",
        {"kind": "snooze", "assignment": 5, "minutes": 45, "reason": "null"},
    ),
    "snooze as usual": (["snooze", "5"], "snooze", {"kind": "snooze", "assignment": 5}),
    "done": (
        ["done", "5", "--result", "shipped"],
        "complete",
        {"kind": "complete", "assignment": 5, "result": "shipped"},
    ),
    "the seed's done": (["task-complete", "5"], "complete", {"kind": "complete", "assignment": 5}),
    "fail": (["fail", "5", "--final"], "fail", {"kind": "fail", "assignment": 5, "final": True}),
    "handoff": (["handoff", "5", "bob"], "handoff", {"assignment": 5, "to": "bob"}),
    "join": (
        ["join", "boot-1", "--interval-s", "10", "--capabilities", "a,b", "--capabilities", "c"],
        "join",
        {"session": "boot-1", "interval_s": 10, "capabilities": ["a", "b", "c"]},
    ),
    "task add": (
        [
            "task",
            "add",
            "Räum auf",
            "--priority",
            "P0",
            "--depends-on",
            "k1, k2",
            "--due-at",
            AT,
            "--capabilities",
            "x",
        ],
        "task-add",
        {
            "title": "Räum auf",
            "priority": "P0",
            "depends_on": ["k1", "k2"],
            "due_at": AT,
            "capabilities": ["x"],
        },
    ),
    "task set": (
        ["task", "set", "7", "--no-pings-enabled", "--due-at", "none"],
        "task-set",
        {"task": 7, "pings_enabled": False, "due_at": None},
    ),
    "task set on": (["task", "set", "7", "--pings-enabled"], "task-set", {"task": 7, "pings_enabled": True}),
    "task assign": (["task", "assign", "7"], "task-assign", {"task": 7}),
    "agent set": (
        ["agent", "set", "ann", "--capabilities", ""],
        "agent-set",
        {"name": "ann", "capabilities": []},
    ),
    "agent without beats": (
        ["agent", "add", "ann", "--beats", "none"],
        "agent-add",
        {"name": "ann", "beats": "none"},
    ),
    "policy set": (
        [
            "policy",
            "set",
            "p",
            "--steps",
            "retry",
            "--steps",
            "peer:capability=x",
            "--steps",
            '{"kind": "main"}',
        ],
        "policy-set",
        {"name": "p", "steps": [{"kind": "retry"}, {"kind": "peer", "capability": "x"}, {"kind": "main"}]},
    ),
    "dlq replay": (["dlq", "replay", "3"], "dlq-replay", {"seq": 3}),
}


@pytest.mark.parametrize(("arguments", "verb", "body"), COMMANDS.values(), ids=COMMANDS)
async def test_what_is_typed_is_what_is_asked(
    ann: Command, bus: Bus, arguments: list[str], verb: str, body: dict[str, Any]
) -> None:
    bus.answer(verb, OUTCOME | TASK)
    done = await ann(*arguments, "-o", "jsonl")
    assert done.exit_code == 0, done.output
    assert bus.body.pop("command_id")
    assert {key: value for key, value in bus.body.items() if key != "command_id"} == body
    assert json.loads(done.stdout) == OUTCOME | TASK


@pytest.mark.parametrize("verb", ["add", "set"])
def test_an_address_is_taken_as_it_is_typed(verb: str) -> None:
    from rollcall.cli.kinds import parameters

    operation = BY_NAME[f"agent.{verb}"]
    found = parameters(operation.params, operation.arguments, operation.name)
    (option,) = [each for each in found if each.name == "endpoint_url"]
    url = "https://hook.example:8443/a/b"
    assert option.type.convert(url, None, None) == url
    with pytest.raises(click.BadParameter):
        option.type.convert("ftp://hook.example", None, None)


async def test_operators_speak_in_their_own_name(ann: Command, bus: Bus) -> None:
    bus.answer("task-show", {"task": TASK})
    assert (await ann("task", "show", "7")).exit_code == 0
    assert (await ann("task", "show", "7", "--operator", "otto")).exit_code == 0
    assert [subject for subject, _, _ in bus.asked] == [
        "rollcall.v1.cmd.assigner.task-show.olga",
        "rollcall.v1.cmd.assigner.task-show.otto",
    ]
    assert [body for _, body, _ in bus.asked] == [{"task": 7}] * 2  # a query has no command id


async def test_steps_of_a_policy_come_from_a_file(ann: Command, bus: Bus, tmp_path: Path) -> None:
    bus.answer("policy-set", {"name": "p", "steps": [], "updated_at": AT})
    (tmp_path / "p.toml").write_text('[[steps]]\nkind = "notify"\nwho = "ann"\n', "utf-8")
    (tmp_path / "p.json").write_text('[{"kind": "main"}]', "utf-8")
    for name in ("p.toml", "p.json"):
        assert (await ann("policy", "set", "p", "--steps", f"@{tmp_path / name}")).exit_code == 0
    assert [body["steps"] for _, body, _ in bus.asked] == [
        [{"kind": "notify", "who": "ann"}],
        [{"kind": "main"}],
    ]


async def test_a_snooze_until_a_time(ann: Command, bus: Bus) -> None:
    bus.answer("snooze", OUTCOME | {"status": "snoozed"})
    until = datetime.now(UTC) + timedelta(minutes=90, seconds=-5)
    done = await ann("snooze", "5", "--until", until.isoformat())
    assert done.exit_code == 0
    assert bus.body["minutes"] == 90
    assert "rollcall unsnooze 5" in done.stderr
    assert (await ann("snooze", "5", "10", "--until", until.isoformat())).exit_code == 2
    assert "not in the future" in (await ann("snooze", "5", "--until", AT)).stderr


def test_minutes_are_those_of_the_house() -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    assert minutes_until(now + timedelta(seconds=61), now, 1.0) == 2
    assert minutes_until(now + timedelta(seconds=6), now, 0.1) == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"title": "a", "key": "k1"}\n\n{"title": "b"}\n',
        '[{"title": "a", "key": "k1"}, {"title": "b"}]',
        '{"tasks": [{"title": "a", "key": "k1"}, {"title": "b"}]}',
    ],
    ids=["lines", "list", "object"],
)
async def test_tasks_are_imported(ann: Command, bus: Bus, tmp_path: Path, text: str) -> None:
    bus.answer("task-import", {"created": [1, 2], "existing": []})
    (tmp_path / "tasks").write_text(text, "utf-8")
    assert (await ann("task", "import", str(tmp_path / "tasks"))).stdout == "created  1, 2\n"
    done = await ann("task", "import", "-", stdin=text)
    assert done.exit_code == 0
    for _, body, _ in bus.asked:
        assert body["tasks"] == [{"title": "a", "key": "k1"}, {"title": "b"}]


async def test_the_key_of_a_webhook_is_drawn_and_shown_once(ann: Command, bus: Bus, tmp_path: Path) -> None:
    bus.answer("agent-add", {"id": 1, "name": "hook"})
    words = ("agent", "add", "hook", "--endpoint-url", "https://hook.example")
    shown = await ann(*words)
    kept = await ann(*words, "--webhook-key-to", str(tmp_path / "key"))
    drawn = [body["webhook_key"] for _, body, _ in bus.asked]
    assert key_bytes(drawn[0]) != key_bytes(drawn[1])
    assert drawn[0] in shown.stdout
    assert "shown this once" in shown.stderr
    assert (tmp_path / "key").read_text("utf-8") == f"{drawn[1]}\n"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert "whsec_" not in kept.output
    bus.answer("agent-add", ExistsError("there is one"))
    assert (await ann(*words, "--webhook-key-to", str(tmp_path / "no"))).exit_code != 0
    assert not (tmp_path / "no").exists()
    bus.answer("agent-set", {"id": 1, "name": "hook"})
    changed = await ann("agent", "set", "hook", "--endpoint-url", "https://other.example")
    assert "rollcall webhook rotate hook" in changed.stderr


async def test_every_operation_has_a_command(rollcall: Command) -> None:
    for operation in ALL:
        if operation.scope == "machine":  # its daemon speaks for itself
            continue
        for words in (operation.command, *operation.aliases):
            shown = await rollcall(*words.split(), "--help")
            assert shown.exit_code == 0, words
            assert operation.summary[:40] in " ".join(shown.stdout.split())


async def test_every_option_and_argument_has_help(rollcall: Command) -> None:
    from rollcall.cli.kinds import parameters

    for operation in ALL:
        for parameter in parameters(operation.params, operation.arguments, operation.name):
            if operation.scope == "machine":
                continue
            drawn = parameter.name in {"tasks", "prefix", "digest", "public_key", "webhook_key"}
            hidden = drawn or getattr(parameter, "hidden", False)
            assert hidden or getattr(parameter, "help", None), f"{operation.name}: {parameter.name}"


def test_every_noun_says_what_it_is_about() -> None:
    groups = [found for name in verbs.of_operators() if isinstance(found := verbs.find(name), click.Group)]
    assert groups
    assert [group.name for group in groups if not group.help] == []


async def test_an_option_that_means_two_things_is_explained_as_each(rollcall: Command) -> None:
    assert "Which brake" in (await rollcall("presence", "release", "--help")).stdout
    token = (await rollcall("token", "create", "--help")).stdout
    assert "What it allows." in token
    assert "brake" not in token


async def test_a_repeated_command_id_is_passed_on(ann: Command, bus: Bus) -> None:
    bus.answer("ack", OUTCOME)
    await ann("ack", "5", "--command-id", "mine-1", "--incarnation", "k7")
    assert (bus.body["command_id"], bus.body["incarnation"]) == ("mine-1", "k7")


async def test_a_page_says_how_to_see_the_next(ann: Command, bus: Bus) -> None:
    bus.answer("dlq-ls", {"items": [{"seq": 1, "letter": {"stream": "ACKS", "reason": "x"}}], "next": 1})
    done = await ann("dlq", "ls")
    assert done.stdout == "SEQ  STREAM  REASON\n1    ACKS    x\n"
    assert done.stderr == "more: the same with --after 1\n"


@pytest.mark.parametrize(
    ("status", "hint"), [("acknowledged", "rollcall progress 5"), ("pending", "rollcall ack 5")]
)
@pytest.mark.parametrize("verb", ["resume", "unsnooze"])
async def test_after_a_pause_the_state_says_what_is_owed(
    ann: Command, bus: Bus, verb: str, status: str, hint: str
) -> None:
    bus.answer(verb, OUTCOME | {"status": status})
    assert (await ann(verb, "5")).stderr.startswith(f"next: {hint}")


async def test_what_to_run_next_follows_the_answer(ann: Command, bus: Bus) -> None:
    lease = {"assignment": 5, "task": 7, "title": "t", "status": "pending"}
    held = [
        lease | {"assignment": n, "status": status} for n, status in enumerate(("snoozed", "acknowledged"))
    ]
    bus.answer("sync", {"incarnation": "k", "agent": "ann", "leases": [*held, lease], "notices": []})
    bus.answer("leave", {"leases": 0})
    bus.answer("complete", OUTCOME | {"status": "completed", "already": True})
    assert (await ann("sync")).stderr == "next: rollcall ack 5   (or: rollcall decline 5)\n"
    assert "rollcall join " in (await ann("leave")).stderr
    done = await ann("done", "5")
    assert (done.stdout, done.stderr) == ("assignment 5: completed (already)\n", "next: rollcall next\n")


async def test_a_wait_that_ends_by_itself_is_not_to_be_resumed(ann: Command, bus: Bus) -> None:
    bus.answer("wait", OUTCOME | {"status": "waiting"})
    named = await ann("wait", "5", "--for", "rate-limit", "--resume-at", AT)
    assert (
        named.stderr
        == "next: rollcall next   (it ends by itself, and you are asked; sooner: rollcall resume 5)\n"
    )
    assert bus.body["on"] == "rate_limit"
    assert (await ann("wait", "5", "--for", "rate-limit")).stderr == named.stderr
    open_ended = await ann("wait", "5", "--for", "human")
    assert open_ended.stderr == "next: rollcall resume 5   (when the wait is over)\n"
    bus.answer("handoff", {"assignment": 9, "agent": "bob"})
    assert (await ann("handoff", "5")).stderr == "next: rollcall next   (and stop working on it)\n"
