"""The demonstration runs, and its checker finds every fault that can be planted."""

import asyncio
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import httpx
import pytest

from bus.nats import NatsBus
from rollcall import demo
from rollcall.config import load
from rollcall.demo import main
from rollcall.demo.screen import Screen
from rollcall.demo.stage import Stage, judged
from rollcall.demo.summary import Summary

EXAMPLES = Path(__file__).parents[2] / "examples"
SCALE = 0.004  # half an hour in seven seconds
SILENT = ["dies", "silent"]
FAULTS = {
    "lost-answer": "answer",
    "invented-answer": "answer",
    "double-owner": "two open assignments",
    "missing-ping": "heard by a plain subscriber",
    "double-ping": "heard by a plain subscriber",
    "lost-successor": "one successor",
    "wrong-heir": "main agent",
    "undone-task": "and done",
    "early-task": "assigned before",
    "wrong-hands": "not capable of",
    "lost-event": "event",
    "phantom-event": "event",
}


@pytest.fixture(autouse=True)
def _not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the players not write down what they ran through: who does not end in time is killed at it."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


def checked(store: Path, recording: Path) -> tuple[int, str]:
    """Return the checker's exit code and what it calls broken."""
    paths = [EXAMPLES / "check_demo.py", store, recording, EXAMPLES / "backlog.jsonl"]
    command = [sys.executable, *map(str, paths), *SILENT]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode, "\n".join(line for line in done.stdout.splitlines() if "BROKEN" in line)


class Tried(Stage):
    """A run at whose doors somebody knocks who has shown nothing, and whose link somebody follows."""

    refused = ("", 0)

    async def _raise(self) -> NatsBus:
        bus = await super()._raise()
        state = self.folder / "state"
        where = urlsplit((state / "nats.url").read_text("utf-8").strip())
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        await reader.readline()  # what the server says of itself
        writer.write(b"CONNECT {}\r\nPING\r\n")
        said = await reader.readline()
        writer.close()
        async with httpx.AsyncClient(base_url=(state / "http.url").read_text("utf-8").strip()) as client:
            status = (await client.get("/api/v1/tasks")).status_code
            link = next(line for line in self.processes.tail("link").split() if "#" in line)
            code = {"code": link.rpartition("#")[2]}
            origin = {"origin": str(client.base_url).rstrip("/")}
            (await client.post("/api/v1/session", json=code, headers=origin)).raise_for_status()
        self.refused = said.decode().strip(), status
        return bus


@pytest.mark.timeout(240)
def test_it_keeps_every_promise_and_finds_every_fault(tmp_path: Path) -> None:
    """One run for all of it: it takes half a minute."""
    stage = Tried(tmp_path, EXAMPLES, main_agent="Ruto", scale=SCALE)
    stage.stays_s = 0
    assert asyncio.run(stage.run(150, None)) == 0
    assert stage.opened
    assert stage.refused == ("-ERR 'Authorization Violation'", 401)
    told = "\n".join(Summary(tmp_path / "store.db", SCALE).lines(SILENT))
    assert "24 of 24 tasks done" in told
    for measure in ("answered in time", "average response", "escalations answered", "minutes on time"):
        assert measure in told
    assert checked(tmp_path / "store.db", tmp_path / "recording.jsonl") == (0, "")
    for fault, word in FAULTS.items():
        store = Path(shutil.copy(tmp_path / "store.db", tmp_path / f"{fault}.db"))
        recording = Path(shutil.copy(tmp_path / "recording.jsonl", tmp_path / f"{fault}.jsonl"))
        assert judged(EXAMPLES, store, recording, SILENT, fault) == 1, fault
        assert word in checked(store, recording)[1], fault


def test_every_fault_is_tried() -> None:
    planting = program("plant_fault")
    assert planting.STORE.keys() | planting.RECORDING.keys() == FAULTS.keys()


def test_an_unknown_fault_is_told_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(load(environ={}).settings, seconds=1, plant="nonsense") == 2
    assert "missing-ping" in capfd.readouterr().err


def test_without_the_examples_it_says_where_to_find_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "a/b/c.py"))
    assert main(load(environ={}).settings, seconds=1, plant=None) == 69
    assert "clone" in capsys.readouterr().err


def test_when_the_time_is_up_the_evidence_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(load(environ={}).settings, seconds=1, plant=None) == 1
    told = capfd.readouterr().out
    assert "the time is up" in told
    folder = Path(told.splitlines()[-1].removeprefix("the evidence is in "))
    assert (folder / "up.log").exists()
    shutil.rmtree(folder)


def test_a_known_fault_is_played_and_nothing_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(load(environ={}).settings, seconds=1, plant="undone-task") == 1
    assert "the evidence is in" not in capfd.readouterr().out


def test_a_play_that_does_not_come_up_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage(tmp_path, EXAMPLES, main_agent="Ruto", scale=SCALE)
    stage.env["ROLLCALL_NONSENSE"] = "1"
    assert asyncio.run(stage.run(20, None)) == 1
    assert "did not come up" in capsys.readouterr().out


@pytest.mark.parametrize("opened", [False, True])
def test_it_stays_for_whoever_looks_and_for_nobody_else(
    *, opened: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Played(Stage):
        async def _play(self) -> None:
            self.opened = opened

    stage = Played(tmp_path, EXAMPLES, main_agent="Ruto", scale=SCALE)
    stage.stays_s = 0.05 if opened else 3600
    asyncio.run(stage.run(7200, None))
    assert ("somebody looks at it" in capsys.readouterr().out) is opened


def test_events_before_the_names_are_told_later(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(1)
    what = b'{"aggregate": "assignment", "id": "1", "event": "%s", "data": {"task": 7, "agent": "ann"}}'
    screen.event(what % b"assigned")
    assert not capsys.readouterr().out
    screen.begin({7: ("k-1", "Wash up")})
    screen.event(what % b"completed")
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[2:] == ["→", "assigned", "k-1", "ann", "Wash", "up"]
    assert second.endswith("1 of 1")
    assert screen.all_done.is_set()
    assert "\x1b" not in first


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
