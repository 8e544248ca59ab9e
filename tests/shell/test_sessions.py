"""`join` makes a session when none is given, and the verbs that follow speak in it, whichever way they go."""

import stat
from pathlib import Path

import pytest
from msgspec import Struct

from tests.cli.conftest import Bus
from tests.shell.conftest import Way

HELD = {"incarnation": "k7", "agent": "ann", "session": "boot-1", "leases": [], "notices": []}
OUTCOME = {"assignment": 5, "kind": "ack", "accepted": True, "status": "acknowledged"}


class Kept(Struct):
    """The file in which a session is kept."""

    path: Path

    def text(self) -> str | None:
        return self.path.read_text("utf-8") if self.path.exists() else None

    def private(self) -> bool:
        return stat.S_IMODE(self.path.stat().st_mode) == 0o600

    def write(self, data: bytes) -> None:
        self.path.write_bytes(data)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "state/rollcall/agents/ann.session")


@pytest.fixture
def answers(bus: Bus) -> Bus:
    bus.answer("join", HELD)
    bus.answer("ack", OUTCOME)
    bus.answer("leave", {"leases": 0})
    return bus


def sessions(bus: Bus) -> list[str | None]:
    """Return the sessions that were spoken in."""
    return [body.get("session") for _, body, _ in bus.asked]


async def test_a_session_is_made_kept_and_forgotten(short: Way, long: Way, answers: Bus, kept: Kept) -> None:
    for one, other in ((short, long), (long, short)):
        assert (await one("join")).code == 0
        assert kept.private()
        assert (await one("ack", "5")).code == 0
        assert (await other("ack", "5")).code == 0
        assert (await one("leave")).code == 0
        assert kept.text() is None
        assert (await other("ack", "5")).code == 0
        joined, first, second, left, after = sessions(answers)
        assert joined
        assert (joined, joined, joined, None) == (first, second, left, after)
        answers.asked.clear()


async def test_each_run_has_a_session_of_its_own(short: Way, answers: Bus, kept: Kept) -> None:
    await short("join")
    await short("join")
    first, second = sessions(answers)
    assert first != second
    assert kept.text() == second


async def test_the_process_is_told_its_session(short: Way, long: Way, answers: Bus, kept: Kept) -> None:
    for way in (short, long):
        for words in (("join",), ("ack", "5"), ("leave",)):
            await way(*words, ROLLCALL_SESSION="boot-7")
        assert sessions(answers) == ["boot-7"] * 3
        answers.asked.clear()
        await way("join", "boot-8", ROLLCALL_SESSION="boot-7")
        await way("ack", "5", "--session", "boot-9")
        await way("ack", "5")
        assert sessions(answers) == ["boot-8", "boot-9", "boot-8"]
        answers.asked.clear()


async def test_a_session_that_cannot_be_kept_is_named(
    short: Way, long: Way, answers: Bus, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_more: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("rollcall.shell.sessions.os.makedirs", refuse)
    for way in (short, long):
        done = await way("join", "boot-1")
        assert done.code == 0
        assert (
            f"note: {kept.path}: Read-only file system: the next verbs need ROLLCALL_SESSION=boot-1"
            in done.err
        )


async def test_a_file_that_is_no_session_is_none(short: Way, answers: Bus, kept: Kept) -> None:
    for data in (b"\xff", b"", b"\n"):
        kept.write(data)
        assert (await short("ack", "5")).code == 0
    assert sessions(answers) == [None] * 3


async def test_the_socket_says_where_it_is_kept(short: Way, answers: Bus, kept: Kept, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "ann.sock").symlink_to(kept.path.with_suffix(".sock"))
    await short("join", "boot-1", ROLLCALL_SOCKET=str(other / "ann.sock"))
    assert Kept(other / "ann.session").text() == "boot-1"
    assert kept.text() is None


async def test_what_another_agent_was_told_does_not_count(
    short: Way, long: Way, answers: Bus, kept: Kept
) -> None:
    for way in (short, long):
        environ = {"ROLLCALL_SESSION": "boot-7", "ROLLCALL_AGENT": "bob"}
        await way("ack", "5", "--agent", "ann", **environ)
        await way("join", "--agent", "ann", **environ)
        await way("ack", "5", "--agent", "ann", **environ)
        none, own, again = sessions(answers)
        assert none is None
        assert own == again == kept.text() != "boot-7"
        await way("leave")
        await way("ack", "5", "--agent", "ann", ROLLCALL_SESSION="boot-7")
        assert sessions(answers)[-1] == "boot-7"
        answers.asked.clear()
