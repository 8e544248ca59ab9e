"""Every command of the how-to pages is run as it stands there, where nothing is known of Rollcall."""

import os
import re
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.fleet import state_of
from tests.howto.page import blocks, script

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs/how-to/README.md"
PAGES = sorted(set(INDEX.parent.glob("*.md")) - {INDEX})
PORTS = ("7466", "8443", "8080", "4222")  # those that the pages name
PAGE_S = 120.0


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path) -> dict[str, str]:
    """Return what somebody has who has just installed Rollcall."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), "/usr/sbin", os.environ["PATH"]])
    return {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "ROLLCALL_LOG__LEVEL": "warning"}


def ported(text: str, ports: Mapping[str, str]) -> str:
    """Return the text with free ports for those that it names."""
    return re.sub(rf"\b({'|'.join(ports)})\b", lambda port: ports[port[1]], text)


def run(program: str, place: Path, env: Mapping[str, str], patience_s: float) -> tuple[int, str]:
    """Run a program of bash; return its code and what it said, and leave nothing that it has started."""
    with subprocess.Popen(
        ["bash", "-c", program],
        cwd=place,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            said, _ = shell.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired:
            end_session(shell.pid)
            said = f"not done after {patience_s:g} s: {shell.communicate()[0]}"
    return shell.returncode, said


def end_session(leader: int) -> None:
    """Kill a session: its terminals are process groups of their own."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((place / "stat").read_text("utf-8").rpartition(")")[2].split()[3]) == leader:
                os.kill(int(place.name), signal.SIGKILL)


@pytest.mark.timeout(PAGE_S + 30)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_works(page: Path, tmp_path: Path) -> None:
    ports = {port: str(free_port()) for port in PORTS}
    told, place = tmp_path / "told", tmp_path / "home/work"
    told.mkdir()
    (place / "deploy").mkdir(parents=True)
    (place / "examples").symlink_to(ROOT / "examples")
    for file in (ROOT / "deploy").iterdir():
        (place / "deploy" / file.name).write_text(ported(file.read_text("utf-8"), ports), "utf-8")
    env = environment(tmp_path / "home") | {"ROLLCALL_HTTP__PORT": ports["7466"]}
    code, said = run(script(ported(page.read_text("utf-8"), ports), told), place, env, PAGE_S)
    assert code == 0, said


def test_the_index_names_every_page() -> None:
    index = INDEX.read_text("utf-8")
    assert PAGES
    assert not [page.name for page in PAGES if f"({page.name})" not in index]


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("```sh\ntrue\n```\n", 0),
        ("```sh\nfalse\ntrue\n```\n", 1),
        ("<!-- prints: yes -->\n```sh\necho yes\n```\n", 0),
        ("<!-- prints: yes -->\n```sh\necho no\n```\n", 1),
        ("<!-- file: a -->\n```toml\nx\n```\n```sh\ngrep -q x a\n```\n", 0),
        ("<!-- terminal: test -e b -->\n```sh\ntouch b; exec cat\n```\n```sh\ntest -e b\n```\n", 0),
        ("<!-- terminal: test -e b -->\n```sh\nexit 1\n```\n", 1),
    ],
)
def test_a_page_that_is_wrong_is_found(
    page: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.howto.page.READY_TRIES", 3)
    assert blocks(page)
    assert run(script(page, tmp_path), tmp_path, os.environ, 30)[0] == code


def test_a_page_that_never_ends_is_ended_with_its_terminals(tmp_path: Path) -> None:
    terminal = "<!-- terminal: test -s pid -->\n```sh\necho $BASHPID > pid; exec tail -f pid\n```\n"
    code, said = run(script(f"{terminal}```sh\ntail -f pid\n```\n", tmp_path), tmp_path, os.environ, 1)
    assert code == -signal.SIGKILL
    assert "not done" in said
    assert state_of(int((tmp_path / "pid").read_text("utf-8"))) in {"", "Z"}  # gone, or only not buried yet
