"""The embedded server: alone in its folder, on its port again, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from bus import embedded, streams
from bus.api import BusUnavailable, Outgoing
from bus.client import Access, connect, js_api
from bus.embedded import EmbeddedError, EmbeddedServer, FolderBusy, Token, alive, find_binary, rotate
from bus.identity.keyring import Keyring, Login
from bus.identity.permissions import grants
from bus.identity.server import Secured
from services.relay import Relay
from tests.support.nats import Server, connected, own_port, server, until

CHILD = """
import asyncio, sys
from pathlib import Path
from bus.embedded import EmbeddedServer

async def main():
    server = EmbeddedServer(Path(sys.argv[1]))
    await server.start()
    print("ready", server.pid, server.url, flush=True)
    await server.exited()

asyncio.run(main())
"""


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ended_child() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        return child.pid


def killed_parent(folder: Path) -> tuple[bool, int, int]:
    """Let a process start a server, kill it, and tell whether that had served, its port and process."""
    root = str(Path(embedded.__file__).parents[1])
    command = [sys.executable, "-c", CHILD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as parent:
        assert parent.stdout
        said = next((line for line in parent.stdout if line.startswith("ready ")), "ready 0 :0").split()
        serving = accepts(port_of(said[2]))
        parent.kill()
    return serving, port_of(said[2]), int(said[1])


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_a_stopped_server_leaves_only_its_data(tmp_path: Path) -> None:
    with own_port(tmp_path / "bus"):
        await leaves_only_its_data(tmp_path)


async def leaves_only_its_data(tmp_path: Path) -> None:
    nats = EmbeddedServer(tmp_path / "bus")
    await nats.start()
    await nats.start()  # it runs: nothing to do
    pid = nats.pid
    assert pid
    assert os.getsid(pid) == pid  # Ctrl-C does not reach it
    url = (tmp_path / "bus/nats.url").read_text("utf-8")
    assert url == nats.url
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "bus").iterdir()}
    assert {name for name, mode in modes.items() if mode & 0o077} <= {"jetstream", f"nats-server_{pid}.ports"}
    assert (tmp_path / "bus").stat().st_mode & 0o777 == 0o700
    client = await connect(url, name="test")
    await client.close()
    await nats.stop()
    await nats.stop()
    assert not alive(pid)
    assert not accepts(port_of(url))
    assert {path.name for path in (tmp_path / "bus").iterdir()} == {
        "jetstream",
        "lock",
        "nats.conf",
        "nats.log",
        "nats.port",
    }


async def test_it_comes_back_on_its_port(tmp_path: Path) -> None:
    with own_port(tmp_path):
        async with server(tmp_path) as nats:
            first = nats.url
        async with server(tmp_path) as nats:
            assert nats.url == first


async def test_it_takes_another_port_if_its_own_is_taken(tmp_path: Path) -> None:
    async with server(tmp_path) as nats:
        first = nats.url
    with socket.socket() as other:
        other.bind(("127.0.0.1", port_of(first)))
        other.listen()
        async with server(tmp_path) as nats:
            assert nats.url != first
            assert (tmp_path / "nats.url").read_text("utf-8") == nats.url


async def test_what_is_not_a_port_is_forgotten(tmp_path: Path) -> None:
    for word in ("many", "70000", ""):
        (tmp_path / "nats.port").write_text(word, "utf-8")
        async with server(tmp_path) as nats:
            assert accepts(port_of(nats.url))


async def test_an_unexpected_end_is_told_and_can_be_mended(tmp_path: Path) -> None:
    async with server(tmp_path) as nats:
        url, pid = nats.url, nats.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        with anyio.fail_after(10):
            assert await nats.exited() == -signal.SIGKILL
        assert nats.pid is None
        with pytest.raises(FolderBusy):  # the folder is still ours
            await EmbeddedServer(tmp_path).start()
        await nats.start()
        assert nats.url == url
        async with connected(url):
            pass


async def test_one_folder_one_server(tmp_path: Path) -> None:
    async with server(tmp_path) as nats:
        with pytest.raises(FolderBusy, match=f"by process {os.getpid()}; stop that"):
            await EmbeddedServer(tmp_path).start()
        async with connected(nats.url):
            assert (tmp_path / "nats.url").exists()
    async with server(tmp_path):
        pass


async def test_the_lock_waits_for_the_server_of_a_killed_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as that server writes, nobody else may; if it never ends, somebody has to look."""
    gone = ended_child()
    async with server(tmp_path) as nats:
        assert nats._lock is not None
        os.close(nats._lock)  # as when its parent is killed: only the server has it now
        nats._lock = None
        (tmp_path / "lock").write_text(f"{gone}\n", "utf-8")
        monkeypatch.setattr(embedded, "ORPHAN_S", 0.06)
        with pytest.raises(FolderBusy, match="whose parent is gone"):
            await EmbeddedServer(tmp_path).start()
        monkeypatch.undo()
    async with server(tmp_path):
        pass


async def test_a_killed_parent_takes_the_server_with_it(tmp_path: Path) -> None:
    with own_port(tmp_path):
        serving, port, pid = killed_parent(tmp_path)
        assert serving
        await until(lambda: not accepts(port))
        await until(lambda: ended(pid))
        async with server(tmp_path) as nats:  # and the folder is free again
            assert port_of(nats.url) == port


def ended(pid: int) -> bool:
    """Whether it has ended, collected or (in a container, where nobody does that) not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_a_server_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_S", 0.05)
    nats = EmbeddedServer(tmp_path)
    await nats.start()
    assert nats.pid
    os.kill(nats.pid, signal.SIGSTOP)
    exited = nats.exited
    with anyio.fail_after(10):
        await nats.stop()
    with pytest.raises(EmbeddedError, match="not started"):
        await exited()


async def test_a_server_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedServer, "_config", lambda *_: "listen: [\n")
    with pytest.raises(EmbeddedError, match=r"exit code 1; the end of .*nats\.log is: "):
        await EmbeddedServer(tmp_path).start()
    monkeypatch.undo()
    async with server(tmp_path):  # nothing of the failure is left
        pass


@pytest.mark.parametrize(("durability", "always"), [("full", True), ("relaxed", False)])
async def test_full_durability_syncs_each_write(tmp_path: Path, durability: str, always: bool) -> None:  # noqa: FBT001
    nats = Server(tmp_path, durability="full" if durability == "full" else "relaxed")
    await nats.start()
    assert ("sync_interval: always" in (tmp_path / "nats.conf").read_text("utf-8")) is always
    await nats.stop()


async def test_a_token_keeps_strangers_out(tmp_path: Path) -> None:
    nats = EmbeddedServer(tmp_path, security=Token("sesame"))
    await nats.start()
    client = await connect((tmp_path / "nats.url").read_text("utf-8"), name="test")
    await client.close()
    with pytest.raises(BusUnavailable):
        await connect(f"nats://{nats.address}", name="test")
    await nats.stop()


def test_where_the_program_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_binary()
    monkeypatch.setenv("NATS_SERVER_BIN", found)
    assert find_binary() == found
    monkeypatch.setenv("NATS_SERVER_BIN", str(tmp_path / "none"))
    with pytest.raises(EmbeddedError, match="not a program"):
        find_binary()
    monkeypatch.delenv("NATS_SERVER_BIN")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(Path(found).parent))
    assert find_binary() == found
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match="install nats-server-bin"):
        find_binary()


def test_a_long_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "nats.log"
    rotate(log)
    assert log.stat().st_mode & 0o777 == 0o600
    log.write_text("old", "utf-8")
    rotate(log)
    assert log.read_text("utf-8") == "old"
    monkeypatch.setattr(embedded, "LOG_BYTES_MAX", 2)
    rotate(log)
    assert (log.read_text("utf-8"), (tmp_path / "nats.log.1").read_text("utf-8")) == ("", "old")


def test_other_systems_go_without_the_kernels_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert embedded.die_with_parent(1) is None


def test_a_process_of_somebody_else_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert alive(1)


async def test_the_streams_stay_when_an_open_server_is_secured(tmp_path: Path) -> None:
    """What agents have answered and nobody has handled is kept under the account that the services use."""
    async with server(tmp_path / "bus") as running, connected(running.url) as bus:
        await streams.ensure(bus.client, streams.topology())
        kept = Outgoing("rollcall.v1.ack.ann.1", b"{}", "ack:1")
        assert await bus.publish_batch([kept], stream="ROLLCALL_ACKS") == []
    security = Secured(Keyring(tmp_path / "identity"), grants([Relay()], "rollcall.v1"), root="rollcall.v1")
    guarded = EmbeddedServer(tmp_path / "bus", durability="relaxed", security=security)
    await guarded.start()
    try:
        login = Login(security.keyring, role="house", account="core", name="house")
        client = await connect(
            guarded.url, name="test", access=Access(login), inbox_prefix="_INBOX._house", timeout_s=5
        )
        assert client.guarded
        assert (await js_api(client, "STREAM.INFO.ROLLCALL_ACKS"))["state"]["messages"] == 1
        await client.close()
    finally:
        await guarded.stop()
