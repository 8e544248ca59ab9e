"""How commands fail: the exit code, one line, and what to run next."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.embedded import find_binary
from contracts import errors
from contracts.errors import RollcallError
from tests.cli.conftest import SILENCE, Bus, Command
from tests.support.nats import kept, until

CODES: list[tuple[RollcallError, int, str]] = [
    (errors.MalformedError(), 2, "rollcall next"),
    (errors.InvalidError(), 2, "rollcall next"),
    (errors.TooLargeError(), 2, "rollcall next"),
    (errors.ForbiddenError(), 4, "rollcall next"),
    (errors.NotFoundError(), 6, "rollcall sync"),
    (errors.NotAllowedNowError(), 5, "rollcall sync"),
    (errors.SupersededError(), 5, "stop working on it"),
    (errors.AlreadyFinalError(), 5, "stop working on it"),
    (errors.SnoozeLimitError(), 5, "rollcall ack 5"),
    (errors.StaleSessionError(), 5, "rollcall join"),
    (errors.IncarnationError(), 5, "rollcall sync"),
    (errors.OverloadedError(), 69, "the same command again"),
    (errors.UnavailableError(), 69, "the same command again"),
    (errors.InternalError(), 1, "rollcall next"),
]


@pytest.mark.parametrize(("error", "code", "hint"), CODES, ids=lambda value: getattr(value, "code", None))
async def test_each_refusal_has_its_code_and_its_hint(
    ann: Command, bus: Bus, error: RollcallError, code: int, hint: str
) -> None:
    bus.answer("ack", error)
    done = await ann("ack", "5")
    assert (done.exit_code, done.stdout) == (code, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"Error: {error.title()}")
    assert f"({error.code})" in first
    assert second.startswith("next: ")
    assert hint in second


@pytest.mark.parametrize("verb", ["join", "sync", "prime", "next"])
async def test_who_is_not_registered_is_told_who_can_change_that(ann: Command, bus: Bus, verb: str) -> None:
    bus.answer(verb, errors.NotFoundError("there is no active agent ann"))
    done = await ann(verb)
    assert done.exit_code == 6
    assert done.stderr.splitlines()[-1].startswith("next: ask an operator: rollcall agent add NAME")


@pytest.mark.parametrize("words", [("task", "add", "ship it"), ("ack", "5")])
async def test_who_is_told_when_to_come_back_tells_it(ann: Command, bus: Bus, words: tuple[str, ...]) -> None:
    bus.answer("ack" if words[0] == "ack" else "task-add", errors.OverloadedError())
    done = await ann(*words)
    assert done.exit_code == 69
    assert "next: the same command again in 5 s: nothing of it was done" in done.stderr


async def test_who_asks_for_json_gets_refusals_as_json(ann: Command, bus: Bus) -> None:
    bus.answer("task-show", errors.NotFoundError())
    done = await ann("task", "show", "5", "-o", "json")
    assert (done.exit_code, json.loads(done.stderr)["code"]) == (6, "not_found")


async def test_a_refusal_that_cannot_be_read_is_still_one(ann: Command, bus: Bus) -> None:
    class Odd(RollcallError):
        code, status = "\u202eodd\x1b", 418

    bus.answer("ack", Odd())
    done = await ann("ack", "5")
    assert done.exit_code == 1
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    from rollcall.cli.wire import problem_of

    assert (problem_of(b"\xff", "500").status, problem_of(b"", "x").status) == (500, 500)


async def test_silence_is_asked_again_under_the_same_id(ann: Command, bus: Bus) -> None:
    accepted = {"assignment": 5, "kind": "ack", "accepted": True, "status": "acknowledged"}
    bus.answer("ack", SILENCE, SILENCE, accepted)
    assert (await ann("ack", "5")).exit_code == 0
    assert len({body["command_id"] for _, body, _ in bus.asked}) == 1
    assert len(bus.asked) == 3


async def test_lasting_silence_ends_with_the_way_to_try_again(ann: Command, bus: Bus) -> None:
    bus.answer("ack", None)
    done = await ann("ack", "5", "--timeout", "0.05")
    assert done.exit_code == 69
    await until(lambda: len(bus.asked) == 3)
    assert f"--command-id {bus.asked[0][1]['command_id']}" in done.stderr


async def test_nobody_answers(rollcall: Command, bus: Bus) -> None:
    await bus.client.close()
    done = await rollcall("status", "--nats-url", bus.url)
    assert done.exit_code == 69
    assert done.stderr.endswith(
        "nobody answers for monitor (nobody_answers)\nnext: rollcall up   (or: rollcall doctor)\n"
    )


async def test_no_bus_is_known(rollcall: Command, tmp_path: Path) -> None:
    done = await rollcall("status")
    assert done.exit_code == 69
    assert done.stderr.startswith("Error: no bus is running here")
    assert "next: rollcall up" in done.stderr


async def test_the_bus_cannot_be_reached(rollcall: Command) -> None:
    with kept() as nobody:
        url = f"nats://ann:hush@127.0.0.1:{nobody.getsockname()[1]}"
        done = await rollcall("status", env={"ROLLCALL_NATS__URL": url})
    assert done.exit_code == 69
    assert "cannot be reached" in done.stderr
    assert "hush" not in done.stderr


async def test_the_address_that_up_left_is_used(rollcall: Command, bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "state/rollcall").mkdir(parents=True)
    (tmp_path / "state/rollcall/nats.url").write_text(f"{bus.url}\n", "utf-8")
    bus.answer("policy-ls", {"items": []})
    done = await rollcall("policy", "ls")
    assert (done.exit_code, done.stdout) == (0, "nothing to list\n")


BAD = {
    "no command": (["akc", "5"], "Did you mean 'ack'?"),
    "no verb": (["task", "ad", "x"], "Did you mean 'add'?"),
    "no option": (["task", "add", "x", "--titel", "y"], "No such option '--titel'"),
    "no id": (["ack"], "Missing argument 'ASSIGNMENT'"),
    "not a number": (["ack", "five"], "'five' is not a valid integer"),
    "too small": (["ack", "0"], "0 is not in the range x>=1"),
    "too large": (["ack", "9223372036854775808"], "must be at most 9223372036854775807"),
    "snooze for ever": (["snooze", "5", "1000000000"], "not in the range 1<=x<=480"),
    "snooze for nothing": (["snooze", "5", "0"], "not in the range 1<=x<=480"),
    "a time without zone": (
        ["wait", "5", "human", "--resume-at", "2026-01-31T12:00:00"],
        "2026-01-31T12:00:00Z",
    ),
    "no time": (["task", "set", "5", "--due-at", "soon"], "or none"),
    "a choice": (["wait", "5", "luck"], "'luck' is not one of"),
    "waiting for nothing": (["wait", "5"], "--for human|lock|peer|rate-limit|external: say one"),
    "waiting for two": (["wait", "5", "human", "--for", "lock"], "say one"),
    "seconds": (["snooze", "5", "30s"], "'30s' is not minutes, such as 45, or a length of time"),
    "a time that is over": (["snooze", "5", "--until", "2001-01-31T12:00:00Z"], "not in the future"),
    "a name with a dot": (["agent", "add", "a.b"], "1 to 63 letters, digits, _ or -"),
    "a wildcard": (["agent", "show", "*"], "1 to 63 letters, digits, _ or -"),
    "an empty name": (["agent", "add", ""], "1 to 63 letters, digits, _ or -"),
    "a newline": (["agent", "add", "a\n"], "1 to 63 letters, digits, _ or -"),
    "a control character": (["agent", "add", "a\x1bb"], "1 to 63 letters, digits, _ or -"),
    "no UTF-8": (["task", "add", os.fsdecode(b"\xff")], "1 to 200 characters"),
    "an escape in a text": (["progress", "5", "a\x1b[31m"], "no control characters"),
    "no title": (["task", "add", ""], "1 to 200 characters"),
    "a long title": (["task", "add", "x" * 201], "1 to 200 characters"),
    "a wrong word in a list": (["task", "add", "x", "--capabilities", "a,b c"], "'b c' is not allowed"),
    "a wrong key": (["task", "add", "x", "--key", "a b"], "1 to 64 letters, digits, _ or -"),
    "too many": (["task", "add", "x", "--depends-on", ",".join(["k"] * 257)], "must have at most 256 items"),
    "a step": (["policy", "set", "p", "--steps", "pray"], "'pray' is not allowed"),
    "a step's field": (
        ["policy", "set", "p", "--steps", "peer:cap=x"],
        "'cap' is not one of capability, who",
    ),
    "a step's JSON": (["policy", "set", "p", "--steps", "{"], "is not allowed"),
    "a step's file": (["policy", "set", "p", "--steps", "@missing"], "No such file"),
    "a missing file": (["task", "import", "missing.jsonl"], "No such file"),
    "a page of nothing": (["task", "ls", "--limit", "0"], "not in the range"),
}


@pytest.mark.parametrize(("arguments", "told"), BAD.values(), ids=BAD)
async def test_bad_input_is_wrong_use(rollcall: Command, arguments: list[str], told: str) -> None:
    done = await rollcall(*arguments, env={"ROLLCALL_AGENT": "ann", "NATS_URL": "nats://127.0.0.1:1"})
    assert done.exit_code == 2, done.output
    assert told in " ".join(done.stderr.split())
    assert done.stdout == ""


IMPORTS = {
    "no JSON": (b'{"title": "a"}\n{"title":', "line 2: not readable as JSON"),
    "bad UTF-8": (b'{"title": "\xff"}\n', "line 1: not readable as JSON"),
    "another field": (
        b'{"title": "a", "prioriy": "P0"}\n',
        "unknown field 'prioriy'; did you mean priority?",
    ),
    "an odd field": (b'[{"title": "a", "zzz": 1}]', "task 1: unknown field 'zzz'"),
    "no title": (b'{"description": "a"}', "title is required"),
    "nothing": (b"", "must not be empty"),
    "a number": (b"5", "must be an object, not a whole number"),
    "too many": (b'{"title": "a"}\n' * 201, "must have at most 200 items"),
    "too large": (b" " * 300_000, "more than 262144 bytes"),
    "deep": (b"[" * 100_000, "not readable as JSON"),
}


@pytest.mark.parametrize(("data", "told"), IMPORTS.values(), ids=IMPORTS)
async def test_a_bad_file_is_not_sent(ann: Command, bus: Bus, data: bytes, told: str) -> None:
    done = await ann("task", "import", "-", stdin=data)
    assert done.exit_code == 2, done.output
    assert told in done.stderr
    assert bus.asked == []


async def test_the_configuration_fails_with_78(rollcall: Command, tmp_path: Path) -> None:
    wrong = await rollcall("ack", "5", "--agent", "ann", env={"ROLLCALL_TIMERS__WARM": "1m"})
    assert (wrong.exit_code, "did you mean ROLLCALL_TIMERS__WARN?" in wrong.stderr) == (78, True)
    nobody = await rollcall("ack", "5")
    assert (nobody.exit_code, "ROLLCALL_AGENT" in nobody.stderr) == (78, True)
    token = await rollcall("--token", "hush", "ack", "5")
    assert (token.exit_code, "hush" in token.output) == (78, False)
    missing = await rollcall("--config", "missing.toml", "status")
    assert (missing.exit_code, "missing.toml: cannot be read" in missing.stderr) == (78, True)
    (tmp_path / "a.toml").write_text("agent = 'ann'", "utf-8")
    found = await rollcall("ack", "5", "--config", "a.toml")
    assert found.exit_code == 69  # it knows who asks, but no bus


async def test_old_names_are_warned_about(rollcall: Command) -> None:
    done = await rollcall("config", "show", env={"RUTO_TIMEOUT_MINUTES": "10"})
    assert done.stderr.startswith("warning: RUTO_TIMEOUT_MINUTES is an old name: write timers.accept_main")


async def test_a_server_that_wants_a_password_says_so(rollcall: Command, tmp_path: Path) -> None:
    from bus.embedded import Token
    from tests.support.nats import Server

    guarded = Server(tmp_path / "guarded", durability="relaxed", security=Token("hush"))
    await guarded.start()
    try:
        address = f"nats://wrong@{guarded.url.rpartition('@')[2].removeprefix('nats://')}"
        done = await rollcall("status", env={"NATS_URL": address})
    finally:
        await guarded.stop()
    assert done.exit_code == 4
    assert "does not let us in" in done.stderr
    assert "hush" not in done.stderr


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "rollcall", *arguments]


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[str]:
    """Run a server that lets nobody publish commands, and yield its address."""
    rules = 'authorization { users: [{user: ann, password: hush, permissions: {publish: "other.>"}}] }'
    (tmp_path / "strict.conf").write_text(f"listen: 127.0.0.1:-1\n{rules}\n", "utf-8")
    process = await asyncio.create_subprocess_exec(
        find_binary(), "-c", str(tmp_path / "strict.conf"), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async for line in process.stderr:
        if found := re.search(rb"client connections on 127.0.0.1:(\d+)", line):
            yield f"nats://ann:hush@127.0.0.1:{int(found[1])}"
            break
    process.terminate()
    await process.communicate()


async def test_what_the_bus_does_not_allow_is_said(rollcall: Command, strict: str) -> None:
    env = {"ROLLCALL_NATS__URL": strict, "ROLLCALL_AGENT": "ann"}
    done = await rollcall("ack", "5", "--timeout", "0.3", env=env)
    assert (done.exit_code, "does not allow ann" in done.stderr) == (4, True)
    assert "hush" not in done.stderr


def run_programs(url: str) -> tuple[int, str, int]:
    """Mistype a command, and interrupt another; return what came of it."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "NATS_URL": url}
    wrong = subprocess.run(program("akc"), env=env, check=False, capture_output=True, text=True)
    with subprocess.Popen(
        program("watch"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tap:
        assert tap.stderr is not None
        assert "watching" in tap.stderr.readline()
        tap.send_signal(signal.SIGINT)
        try:
            return wrong.returncode, wrong.stderr, tap.wait(20)
        finally:
            tap.kill()  # one that did not hear it is not waited for


async def test_the_program_itself_ends_with_the_same_codes(bus: Bus) -> None:
    wrong, told, interrupted = await asyncio.to_thread(run_programs, bus.url)
    assert (wrong, interrupted) == (2, 130)
    assert "Did you mean 'ack'?" in told


def test_a_reader_that_has_read_enough_is_no_fault(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        program("config", "show"), env=env, check=False, stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
