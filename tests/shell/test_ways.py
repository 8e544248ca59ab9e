"""A verb says the same, asks the same and ends with the same code, whichever way it goes."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts import errors
from contracts.errors import RollcallError
from contracts.operations import ALL
from tests.cli.conftest import Bus
from tests.shell.conftest import Done, Way

AT = "2099-01-31T12:00:00Z"
SOON = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
PING = {"kind": "ping", "description": "All of it\nand more", "escalated_from": "bob", "answer_by": AT}
LEASE = {
    "assignment": 5,
    "task": 7,
    "title": "Räum \x1b[31mauf",
    "epoch": 1,
    "status": "pending",
    "accept_by": AT,
    "progress_by": None,
    "snooze_until": None,
    "ping": PING,
}
HELD = {
    "incarnation": "k7",
    "agent": "ann",
    "session": "boot-1",
    "leases": [LEASE | {"assignment": 6, "status": "waiting", "ping": None}, LEASE],
    "notices": [{"kind": "moved", "assignment": 3, "text": "it was given to bob", "at": AT}],
}

MADE = {
    "created_at": AT,
    "created_by": "agent:ann",
    "updated_at": AT,
    "updated_by": "agent:ann",
    "version": 1,
}
ITEM = {"id": 7, "task_id": 3, "phase_id": None, "position": 1, "text": "and this", "done": True, **MADE}
PHASE = {"id": 2, "task_id": 3, "position": 1, "name": "draw", "status": "in_progress", "prompt": "", **MADE}


def outcome(kind: str, status: str, **more: Any) -> dict[str, Any]:
    return {"assignment": 5, "kind": kind, "accepted": True, "status": status, **more}


VERBS: dict[str, tuple[list[str], str, Any]] = {
    "ack": (["ack", "5"], "ack", outcome("ack", "acknowledged")),
    "the seed's ack": (["task-started", "5"], "ack", outcome("ack", "acknowledged", already=True)),
    "progress": (["progress", "5", "half -- way"], "progress", outcome("progress", "acknowledged")),
    "a note that begins with a dash": (["progress", "5", "--", "-x"], "progress", outcome("progress", "x")),
    "wait": (
        ["wait", "5", "--for", "rate-limit", "--resume-at", AT, "--who", "carol"],
        "wait",
        outcome("wait", "waiting"),
    ),
    "wait by place": (["wait", "5", "human"], "wait", outcome("wait", "waiting")),
    "wait as it is on the wire": (["wait", "5", "--for=rate_limit"], "wait", outcome("wait", "waiting")),
    "resume": (["resume", "5"], "resume", outcome("resume", "acknowledged")),
    "snooze": (["snooze", "5", "1h30m"], "snooze", outcome("snooze", "snoozed")),
    "snooze in numbers": (["snooze", "5", "45", "--reason", "null"], "snooze", outcome("snooze", "snoozed")),
    "snooze as usual": (["snooze", "5"], "snooze", outcome("snooze", "snoozed")),
    "snooze until": (["snooze", "5", "--until", SOON], "snooze", outcome("snooze", "snoozed")),
    "unsnooze": (["unsnooze", "5"], "unsnooze", outcome("unsnooze", "pending")),
    "done": (["done", "5", "--result", "shipped"], "complete", outcome("complete", "completed")),
    "fail": (["fail", "5", "--final", "--reason="], "fail", outcome("fail", "failed", deferred=True)),
    "release": (["release", "5"], "release", outcome("release", "failed")),
    "decline": (["decline", "--reason", "not mine", "5"], "decline", outcome("decline", "failed")),
    "handoff": (["handoff", "5", "bob"], "handoff", {"assignment": 9, "agent": "bob"}),
    "plan": (
        ["plan", "5"],
        "plan",
        {"task": 3, "phases": [PHASE], "todos": [], "unfinished": ["phase 2: draw"]},
    ),
    "check": (["check", "5", "7"], "check", ITEM),
    "check anew": (["check", "5", "--text", "and this", "--required"], "check", ITEM),
    "check no more": (["check", "5", "7", "--no-done"], "check", ITEM),
    "advance": (["advance", "5", "2", "--status", "in-progress"], "advance", PHASE),
    "remark": (["remark", "5", "half way"], "remark", {"assignment": 5, "task": 3}),
    "next": (["next"], "next", {"status": "due", "lease": LEASE, "retry": True}),
    "nothing yet": (["next", "--wait", "0.05"], "next", {"status": "none", "lease": None, "retry": True}),
    "join": (["join", "boot-1", "--capabilities", "a, b", "--capabilities", "c"], "join", HELD),
    "leave": (["leave"], "leave", {"leases": 0}),
    "sync": (["sync"], "sync", HELD),
    "nothing held": (["sync"], "sync", HELD | {"leases": [], "notices": []}),
    "prime": (["prime"], "prime", HELD),
    "say": (
        ["say", "the door is broken", "--channel", "office"],
        "say",
        {"id": 1, "outcome": "created", "rule": "fixes", "reason": "“broken”", "task": 7},
    ),
    "primed of nothing": (["prime"], "prime", HELD | {"leases": [], "notices": [], "session": None}),
}


def same(one: Done, other: Done) -> None:
    """Compare all that was said; an age may have moved on by a second."""
    assert one.code is not None, "it was left to the long way"
    assert one.code == other.code
    assert re.sub(r"\d+[dhms]+", "…", one.out) == re.sub(r"\d+[dhms]+", "…", other.out)
    assert one.err == other.err


@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
@pytest.mark.parametrize(("arguments", "verb", "answer"), VERBS.values(), ids=VERBS)
async def test_both_ways_say_the_same(
    short: Way, long: Way, bus: Bus, arguments: list[str], verb: str, answer: Any, form: str
) -> None:
    bus.answer(verb, answer)
    typed = ["-o", form, *arguments[1:]]
    near = await short(arguments[0], *typed)
    asked = len(bus.asked)
    far = await long(arguments[0], *typed)
    same(near, far)
    assert near.err.startswith("next: rollcall ")
    assert near.code == (3 if arguments == ["next", "--wait", "0.05"] else 0)
    (subject, said, _), (other, meant, _) = bus.asked[0], bus.asked[asked]
    assert subject == other
    if SOON in arguments:  # a minute may have begun in between
        assert 0 <= said.pop("minutes") - meant.pop("minutes") <= 1
    assert without_id(said) == without_id(meant)


def without_id(body: dict[str, Any]) -> dict[str, Any]:
    """Return what was asked, but for what is drawn anew each time."""
    return {key: value for key, value in body.items() if key != "command_id"}


async def test_every_verb_is_compared(bus: Bus) -> None:
    verbs = {operation.verb for operation in ALL if operation.scope == "agent"}
    assert verbs == {verb for _, verb, _ in VERBS.values()}


REFUSALS = {code: kind() for code, kind in errors.all_errors().items() if kind is not RollcallError} | {
    "a field": errors.InvalidError("so\x1b it is", fields={"minutes": "too many"}),
}


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS)
async def test_both_ways_fail_the_same(
    short: Way, long: Way, bus: Bus, error: RollcallError, form: str
) -> None:
    bus.answer("ack", error)
    bus.answer("next", error)
    for words in (["ack", "5"], ["next", "--wait", "0.05"]):
        near, far = await short(*words, "-o", form), await long(*words, "-o", form)
        same(near, far)
        assert near.code not in {0, None}
        assert near.out == ""


async def test_nobody_answers_either_way(short: Way, long: Way, bus: Bus) -> None:
    await bus.client.drain()
    for form in ("table", "json"):
        near, far = await short("ack", "5", "-o", form), await long("ack", "5", "-o", form)
        same(near, far)
        assert near.code == 69
        assert "nobody answers for pinger" in near.err


TO_THE_LONG_WAY: dict[str, list[str]] = {
    "nothing": [],
    "an option of all": ["--version"],
    "no verb of agents": ["status"],
    "no verb": ["akc", "5"],
    "help": ["ack", "--help"],
    "no number": ["ack", "five"],
    "none": ["ack"],
    "one too many": ["ack", "5", "6"],
    "zero": ["ack", "0"],
    "too large": ["ack", "9223372036854775808"],
    "an unknown option": ["ack", "5", "--atempt", "2"],
    "an option without its value": ["ack", "5", "--attempt"],
    "an option twice": ["ack", "5", "--attempt", "1", "--attempt", "2"],
    "a flag with a value": ["fail", "5", "--final=yes"],
    "a short option with a sign": ["ack", "5", "-o=json"],
    "another form": ["ack", "5", "-o", "yaml"],
    "other credentials": ["ack", "5", "--creds", "ann.creds"],
    "another bus": ["ack", "5", "--nats-url", "nats://127.0.0.1:1"],
    "another agent": ["ack", "5", "--agent", "bob"],
    "no name": ["ack", "5", "--agent", "../ann"],
    "a word": ["wait", "5", "--for", "luck"],
    "no word": ["wait", "5"],
    "two words": ["wait", "5", "human", "--for", "human"],
    "no time": ["wait", "5", "human", "--resume-at", "soon"],
    "no such day": ["wait", "5", "human", "--resume-at", "2099-02-31T12:00:00Z"],
    "a time without its zone": ["wait", "5", "human", "--resume-at", "2099-01-31T12:00:00"],
    "no length": ["snooze", "5", "30s"],
    "too long": ["snooze", "5", "9h"],
    "minutes and a time": ["snooze", "5", "10", "--until", AT],
    "a time far away": ["snooze", "5", "--until", AT],
    "a time that is over": ["snooze", "5", "--until", "2001-01-31T12:00:00Z"],
    "no seconds": ["next", "--wait", "-1"],
    "too many seconds": ["next", "--wait", "100000"],
    "a long note": ["progress", "5", "x" * 2_001],
    "a control character": ["progress", "5", "\x1b"],
    "no UTF-8": ["progress", "5", "\udcff"],
    "a session that is no word": ["join", "a b"],
    "an empty session": ["join", ""],
    "a newline": ["join", "a\n"],
    "a bad name in a list": ["join", "s", "--capabilities", "a,b c"],
}


@pytest.mark.parametrize("arguments", TO_THE_LONG_WAY.values(), ids=TO_THE_LONG_WAY)
async def test_what_is_not_plainly_right_is_left_to_the_long_way(
    short: Way, bus: Bus, arguments: list[str]
) -> None:
    done = await short(*arguments)
    assert (done.code, done.out, done.err, bus.asked) == (None, "", "", [])


async def test_who_names_a_bus_or_credentials_is_heard_there(short: Way, bus: Bus, tmp_path: Path) -> None:
    bus.answer("ack", outcome("ack", "acknowledged"))
    door = tmp_path / "state/rollcall/agents/ann.sock"
    for environ in (
        {"NATS_URL": "nats://127.0.0.1:1"},
        {"ROLLCALL_NATS__URL": "nats://127.0.0.1:1"},
        {"NATS_CREDS": "ann.creds"},
        {"ROLLCALL_AGENT": ""},
        {"XDG_STATE_HOME": str(tmp_path / "other")},
        {"ROLLCALL_SOCKET": str(tmp_path / "gone.sock")},
        {"ROLLCALL_SOCKET": str(door), "ROLLCALL_AGENT": "ann", "words": "--agent=bob"},
        {"ROLLCALL_SOCKET": str(tmp_path / "no-door")},
    ):
        words = environ.pop("words", "--attempt=1")
        assert (await short("ack", "5", words, **environ)).code is None, environ
    for environ in (
        {"NATS_URL": bus.url},
        {"ROLLCALL_SOCKET": str(door), "ROLLCALL_AGENT": "", "NATS_URL": "nats://127.0.0.1:1"},
        {"XDG_STATE_HOME": "", "ROLLCALL_STATE_DIR": str(tmp_path / "state/rollcall")},
    ):
        assert (await short("ack", "5", **environ)).code == 0, environ
    assert (await short("ack", "5", "--agent", "ann", ROLLCALL_AGENT="")).code == 0


SETTINGS = {
    "agent": ('agent = "ann"', True),
    "nobody": ("", False),
    "state": ('agent = "ann"\nstate_dir = "{state}"', True),
    "another bus": ('agent = "ann"\n[nats]\nurl = "nats://127.0.0.1:1"', False),
    "this bus": ('agent = "ann"\n[nats]\nurl = "{url}"', True),
    "credentials": ('agent = "ann"\n[nats]\ncreds = "ann.creds"', False),
    "no TOML": ("agent =", False),
    "no sections": ('agent = "ann"\nnats = 5', False),
    "no text": ("agent = 5", False),
}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(("text", "found"), SETTINGS.values(), ids=SETTINGS)
async def test_the_file_of_settings_is_read(
    short: Way, bus: Bus, tmp_path: Path, text: str, *, found: bool, named: bool
) -> None:
    bus.answer("ack", outcome("ack", "acknowledged"))
    state = tmp_path / "state/rollcall"
    file = tmp_path / ("mine.toml" if named else "rollcall.toml")
    file.write_text(text.replace("{state}", str(state)).replace("{url}", bus.url), "utf-8")
    environ = {"ROLLCALL_CONFIG": str(file)} if named else {}
    home = "" if "state_dir" in text else str(tmp_path / "state")
    done = await short("ack", "5", ROLLCALL_AGENT="", XDG_STATE_HOME=home, **environ)
    assert done.code == (0 if found else None)


async def test_the_clock_of_the_house_counts(short: Way, bus: Bus, tmp_path: Path) -> None:
    bus.answer("snooze", outcome("snooze", "snoozed"))
    (tmp_path / "rollcall.toml").write_text("[timers]\nscale = 10_000_000", "utf-8")
    await short("snooze", "5", "--until", AT)
    await short("snooze", "5", "--until", AT, ROLLCALL_TIMERS__SCALE="20000000")
    first, second = (body["minutes"] for _, body, _ in bus.asked)
    assert 1 <= second <= first / 2 + 1


async def test_json_is_that_of_the_service(short: Way, bus: Bus) -> None:
    bus.answer("sync", HELD)
    assert json.loads((await short("sync", "-o", "json")).out) == HELD
