"""The daemon's file: what it means, and one line for each way to get it wrong."""

import json
from pathlib import Path

import pytest

from domain.keeper import RestartPolicy
from rollcall.config import ConfigError
from rollcall.daemon.config import DaemonFile, MachineSpec, RestartSpec, load

WHOLE = """
[machine]
name = "box-1"
beat = "20s"
logs = "out"

[[agent]]
name = "builder-1"
command = ["python3", "-u", "agent.py"]
cwd = "work"
env = { API_KEY = "hush-hush" }
capabilities = ["python"]
stop = "5s"
restart = { when = "always", tries = 2, pause = "1s", window = "1m" }

[[agent]]
name = "builder-2"
command = "sh -c 'echo one; echo two'"
autostart = false
"""


def written(folder: Path, text: str, name: str = "daemon.toml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(written(folder, text))
    told = str(caught.value)
    assert "\n" not in told
    return told.removeprefix(f"{folder}/daemon.toml: ")


def test_a_whole_file(tmp_path: Path) -> None:
    found = load(written(tmp_path, WHOLE))
    first, second = found.agent
    assert (found.machine.name, found.machine.beat) == ("box-1", 20_000_000)
    assert (found.machine.logs, first.cwd) == (str(tmp_path / "out"), str(tmp_path / "work"))
    assert first.restart.policy() == RestartPolicy(
        when="always", tries=2, pause_us=1_000_000, window_us=60_000_000
    )
    assert (first.stop, first.capabilities, first.autostart) == (5_000_000, ("python",), True)
    assert second.words == ("sh", "-c", "echo one; echo two")
    assert (second.restart.policy(), second.capabilities) == (RestartPolicy(), None)
    assert not second.autostart


def test_json_says_the_same(tmp_path: Path) -> None:
    body = {"machine": {"name": "box-1"}, "agent": [{"name": "a", "command": ["true"]}]}
    found = load(written(tmp_path, json.dumps(body), "daemon.json"))
    assert [agent.words for agent in found.agent] == [("true",)]


def test_a_machine_without_a_name_is_called_as_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "-lab 7.example.org")
    assert load(written(tmp_path, "")).machine.name == "lab-7"


WRONG = {
    "unknown table": ("[machines]\nname = 'a'", "unknown key 'machines'; did you mean machine?"),
    "unknown key": (
        "[[agent]]\nname = 'a'\ncomand = ['x']",
        "unknown key 'agent[0].comand'; did you mean command?",
    ),
    "unknown key inside": (
        "[[agent]]\nname = 'a'\ncommand = ['x']\nrestart = { trys = 3 }",
        "unknown key 'agent[0].restart.trys'; did you mean tries?",
    ),
    "nothing like it": (
        "[machine]\nzzz = 1",
        "unknown key 'machine.zzz'; there are name, beat, logs, log_bytes_max, log_files",
    ),
    "no command": ("[[agent]]\nname = 'a'", "agent[0]: Object missing required field `command`"),
    "empty command": (
        "[[agent]]\nname = 'a'\ncommand = ''",
        "agent[0] (a): command: there is no program in it",
    ),
    "open quote": ("[[agent]]\nname = 'a'\ncommand = '\"x'", "agent[0] (a): command: No closing quotation"),
    "a bare number": (
        "[[agent]]\nname = 'a'\ncommand = 'x'\nstop = 10",
        'agent[0].stop: a number with a unit, such as "30m", "90s", "1h30m" or "7d"',
    ),
    "no length": (
        "[[agent]]\nname = 'a'\ncommand = 'x'\nrestart.pause = '0s'",
        'agent[0].restart.pause: a number with a unit, such as "30m", "90s", "1h30m" or "7d"',
    ),
    "too few tries": (
        "[[agent]]\nname = 'a'\ncommand = 'x'\nrestart.tries = 0",
        "agent[0].restart.tries: Expected `int` >= 1",
    ),
    "twice": (
        "[[agent]]\nname = 'a'\ncommand = 'x'\n[[agent]]\nname = 'A'\ncommand = 'x'",
        "there are two agents named A",
    ),
    "ours": (
        "[[agent]]\nname = 'a'\ncommand = 'x'\nenv.ROLLCALL_AGENT = 'b'",
        "agent[0] (a): env: ROLLCALL_AGENT is set by the daemon",
    ),
    "a secret for everybody": (
        "[[agent]]\nname = 'a'\ncommand = 'x --to nats://ann:hush@h'",
        "agent[0] (a): everybody on this machine can read a command line: use env",
    ),
    "a zero byte": (
        '[[agent]]\nname = "a"\ncommand = ["x\\u0000y"]',
        "agent[0] (a): a zero byte cannot be passed to a program",
    ),
    "no TOML": (
        "[machine",
        "cannot be understood: Expected ']' at the end of a table declaration (at end of document)",
    ),
}


@pytest.mark.parametrize(("text", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert refusal(tmp_path, text) == told


def test_a_name_is_a_subject_token(tmp_path: Path) -> None:
    assert refusal(tmp_path, "[[agent]]\nname = 'a.b'\ncommand = 'x'").startswith("agent[0].name: ")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="more than 262144 bytes"):
        load(written(tmp_path, "#" * 300_000))
    with pytest.raises(ConfigError, match="an object is needed"):
        load(written(tmp_path, "[]", "daemon.json"))


def test_no_error_tells_a_secret(tmp_path: Path) -> None:
    told = refusal(tmp_path, "[[agent]]\nname = 'a'\ncommand = 'x'\nenv = { KEY = 12345678 }")
    assert "12345678" not in told
    assert "hush" not in repr(load(written(tmp_path, WHOLE)))


def test_the_digest_follows_the_definition_and_tells_nothing(tmp_path: Path) -> None:
    def digest(text: str, session: str = "s1") -> str:
        return load(written(tmp_path, text)).agent[0].digest(session)

    assert digest(WHOLE) == digest(WHOLE)
    assert digest(WHOLE) != digest(WHOLE, "s2")
    assert digest(WHOLE) != digest(WHOLE.replace("hush-hush", "other"))
    assert digest(WHOLE) != digest(WHOLE.replace("agent.py", "agent2.py"))
    assert digest(WHOLE) == digest(WHOLE.replace("tries = 2", "tries = 9")), "how it is kept is no definition"


def test_the_empty_file_is_a_machine_without_agents(tmp_path: Path) -> None:
    found = load(written(tmp_path, "[machine]\nname = 'm'"))
    assert isinstance(found, DaemonFile)
    assert found.agent == ()


def test_the_example_says_what_is_usual() -> None:
    found = load(Path(__file__).parents[2] / "examples/daemon.toml")
    first, second = found.agent
    assert first.restart == second.restart == RestartSpec()
    assert found.machine == MachineSpec(name="box-1")
    assert (first.stop, second.stop, first.autostart) == (10_000_000, 10_000_000, True)
