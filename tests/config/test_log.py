"""Logs: one JSON object a line for machines, a line for people, and never a secret."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from rollcall.log import redact, setup


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], level = before
    root.setLevel(level)


def logged(form: str, level: str = "info") -> io.BytesIO:
    stream = io.BytesIO()
    setup(level, form, stream=stream)
    return stream


def test_json_lines_with_level_and_time() -> None:
    stream = logged("json")
    structlog.get_logger().info("ping.sent", task_id=7, agent="ann", odd=object)
    structlog.get_logger().debug("ping.skipped")
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found["event"] == "ping.sent"
    assert (found["level"], found["task_id"], found["odd"]) == ("info", 7, "<class 'object'>")
    assert found["timestamp"].endswith("Z")


def test_a_line_cannot_be_forged() -> None:
    for form in ("json", "console"):
        stream = logged(form)
        structlog.get_logger().info("ping.sent", title="a\nb\x1b[31m\u202e")
        text = stream.getvalue().decode()
        assert text.count("\n") == 1
        assert "\\x1b" in text or "\\u001b" in text


SECRETS: dict[str, Any] = {
    "token": "canary-1",
    "nats_creds": None,
    "url": "nats://ann:canary-2@h:1",
    "note": "Bearer canary-3-canary-3 and rcl_agent_canary4canary4",
    "deep": {"password": "canary-5", "list": ["tls://canary-6:x@h", {"api_key": "canary-7"}]},
    "error": ValueError("nats://canary-8@h"),
    "jwt_text": "eyJhbGciOiJI.eyJzdWIiOiJ4.canary9",
    "text": "S" + "U" * 57,
}


def test_no_secret_is_written_by_key_or_by_looks() -> None:
    for form in ("json", "console"):
        stream = logged(form)
        structlog.get_logger().info("bus.connected", **SECRETS)
        try:
            int("nats://canary-10:x@h")
        except ValueError:
            structlog.get_logger().exception("bus.lost")
        text = stream.getvalue().decode()
        assert "canary" not in text
        assert "UUUU" not in text
        assert "Traceback" in text
        assert "nats://***@h" in text
        assert "Bearer ***" in text


def test_plain_values_are_left_alone() -> None:
    event = {"n": 3, "ok": True, "at": None, "x": 1.5, "words": ("a", "b"), "tokens_used": 5}
    assert redact(None, "info", dict(event)) == event | {"words": ["a", "b"]}


def test_the_standard_library_speaks_through_the_same_form() -> None:
    stream = logged("json")
    logging.getLogger("asyncio").error("boo %s", 1, exc_info=ValueError("tls://u:p@h"))
    logging.getLogger("nats").info("not that much")
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert (found["event"], found["logger"], found["level"]) == ("boo 1", "asyncio", "error")
    assert "tls://***@h" in found["exception"]


def test_context_is_added() -> None:
    stream = logged("json")
    with structlog.contextvars.bound_contextvars(service="pinger"):
        structlog.get_logger().warning("ping.late")
    assert json.loads(stream.getvalue())["service"] == "pinger"


def test_auto_is_json_where_nobody_watches_and_goes_to_standard_error() -> None:
    program = (
        "import structlog; from rollcall.log import setup; setup(); "
        "structlog.get_logger().info('task.done', text='ä')"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert json.loads(done.stderr)["text"] == "ä"
    assert done.stdout == b""


def test_a_logger_follows_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def redirected() -> io.BytesIO:
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO()))
        return sys.stderr.buffer  # type: ignore[return-value]

    first = redirected()
    setup()
    logger = structlog.get_logger()
    logger.info("task.done")  # bound for good with its first line
    assert b"task.done" in first.getvalue()
    first.close()
    second = redirected()
    logger.info("task.gone")
    assert b"task.gone" in second.getvalue()


def test_colours_are_for_who_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = logged("console")
    structlog.get_logger().info("task.done")
    assert b"\x1b[" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    stream = logged("console")
    structlog.get_logger().info("task.done")
    assert b"\x1b[" not in stream.getvalue()
