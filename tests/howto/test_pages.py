"""Every command of the how-to pages is run as it stands there, where nothing is known of Rollcall."""

import os
import re
import socket
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.howto.page import blocks, script

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs/how-to/README.md"
PAGES = sorted(set(INDEX.parent.glob("*.md")) - {INDEX})
PORTS = ("7466", "8443", "8080")  # those that the pages name
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
    done = subprocess.run(
        ["bash", "-c", script(ported(page.read_text("utf-8"), ports), told)],
        cwd=place,
        env=environment(tmp_path / "home") | {"ROLLCALL_HTTP__PORT": ports["7466"]},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=PAGE_S,
    )
    assert done.returncode == 0, done.stdout


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
    done = subprocess.run(
        ["bash", "-c", script(page, tmp_path)], cwd=tmp_path, check=False, capture_output=True, timeout=30
    )
    assert done.returncode == code, done
