"""The address outside hears from us while all is well, from nobody else, and keeps nobody waiting."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from structlog.testing import capture_logs

from rollcall.deadman import DeadMan
from rollcall.settings import Services, Settings, Watch
from rollcall.watching import chores

WAIT_S = 10.0


class Receiver(ThreadingHTTPServer):
    """A server that notes who called, and answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: list[str] = []
        self.status = 200
        self.hold = threading.Event()
        self.hold.set()
        self.url = f"http://127.0.0.1:{self.server_port}/ping/secret?rollcall=1"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Receiver)
        self.server.paths.append(self.path)
        self.server.hold.wait(WAIT_S)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.hold.set()
        found.shutdown()
        thread.join()


def ended(call: threading.Thread | None) -> None:
    assert call is not None
    call.join(WAIT_S)
    assert not call.is_alive()


def test_it_is_called_where_it_was_said(receiver: Receiver) -> None:
    caller = DeadMan(receiver.url)
    for _ in range(2):
        ended(caller.call())
    assert receiver.paths == ["/ping/secret?rollcall=1"] * 2


def test_a_call_that_hangs_is_not_waited_for_nor_repeated(receiver: Receiver) -> None:
    receiver.hold.clear()
    caller = DeadMan(receiver.url)
    first = caller.call()
    assert first is not None
    assert caller.call() is None
    assert first.daemon  # and ends with the process
    receiver.hold.set()
    ended(first)
    ended(caller.call())


def test_a_call_has_an_end_whatever_the_other_side_does() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent, capture_logs() as logs:
        port = silent.getsockname()[1]
        ended(DeadMan(f"http://127.0.0.1:{port}", connect_s=0.05, whole_s=0.1).call())
    assert [(log["event"], log["host"]) for log in logs] == [("deadman.unreachable", "127.0.0.1")]


def test_a_server_that_never_comes_to_an_end_does_not_hold_a_call() -> None:
    """Each byte comes in time, and the answer never: only the length of the whole ends it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as trickling, capture_logs() as logs:
        port = trickling.getsockname()[1]
        over = threading.Event()

        def trickle() -> None:
            line, _ = trickling.accept()
            with line:
                line.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not over.wait(0.01):
                    try:
                        line.sendall(b"x")
                    except OSError:
                        return

        sender = threading.Thread(target=trickle, daemon=True)
        sender.start()
        ended(DeadMan(f"http://127.0.0.1:{port}", whole_s=0.2).call())
        over.set()
        sender.join(WAIT_S)
    assert [log["event"] for log in logs] == ["deadman.unreachable"]


def test_a_failure_is_logged_once_and_so_is_its_end(receiver: Receiver) -> None:
    caller = DeadMan(receiver.url)
    with capture_logs() as logs:
        for status in (500, 302, 404, 200, 204, 503):
            receiver.status = status
            ended(caller.call())
    assert [(log["event"], log.get("reason", "")) for log in logs] == [
        ("deadman.unreachable", "it answered 500"),
        ("deadman.reached", ""),
        ("deadman.unreachable", "it answered 503"),
    ]
    assert "secret" not in str(logs)


def test_nobody_there_is_a_failure_too() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with capture_logs() as logs:
        ended(DeadMan(f"http://127.0.0.1:{port}/x").call())
        ended(DeadMan("https://127.0.0.1:1/x").call())
    assert [log["event"] for log in logs] == ["deadman.unreachable"] * 2


@pytest.mark.parametrize(
    ("names", "url", "expected"),
    [
        (["monitor"], "", ["watch"]),
        (["monitor"], "http://h/x", ["watch", "deadman"]),
        (["pinger"], "http://h/x", ["watch"]),
    ],
)
def test_every_process_watches_and_the_monitor_calls_outside(
    names: list[str], url: str, expected: list[str]
) -> None:
    settings = Settings(
        watch=Watch(deadman_url=url, deadman_every_us=5_000_000), services=Services(expected=())
    )
    found = chores(names, settings)
    assert [chore.name for chore in found] == expected
    assert found[-1].every_s == (5.0 if len(found) > 1 else 1.0)
