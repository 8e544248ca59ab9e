"""The daemon as a process, its agents as processes, and a monitor on a real bus that is told of them."""

import os
import signal
from pathlib import Path

import anyio
import msgspec

from contracts.messages import MachineBeat
from tests.daemon.conftest import Box, alive, until
from tests.support.cable import cable
from tests.support.nats import Seen
from tests.support.world import World


async def test_a_killed_agent_is_revived_three_times_and_then_given_up(box: Box, tmp_path: Path) -> None:
    await box.once("a1", tmp_path / "flag")
    await box.start()
    os.kill(await box.pid("a1"), signal.SIGKILL)
    shown = await box.is_told("a1", "dead_failed_revive")
    assert shown.status_why == "exited with 3; 3 tries failed"
    assert await box.told("status_changed", "status") == ["ready", "restarting", "dead_failed_revive"]
    assert await box.told("process_changed", "process") == ["running", *["restarting"] * 3, "failed"]
    assert await box.told("process_changed", "why") == [
        "started with the daemon",
        "killed by SIGKILL; try 1 of 3",
        "exited with 3; try 2 of 3",
        "exited with 3; try 3 of 3",
        "exited with 3; 3 tries failed",
    ]


async def test_who_was_given_up_is_ready_once_it_joins(world: World, box: Box, tmp_path: Path) -> None:
    (tmp_path / "flag").mkdir()
    await box.once("a1", tmp_path / "flag")
    await box.start()
    await box.is_told("a1", "dead_failed_revive")
    await world.forward(seconds=1)
    await world.asks("a1", "agent.join", session="by-hand")
    assert (await world.who("a1")).status == "ready"
    await box.agent("a2", "wait")  # what the daemon says again changes nothing
    await box.kill()
    await box.start()
    await box.is_told("a2", "ready")
    assert (await world.who("a1")).status == "ready"


async def test_a_revived_agent_keeps_its_work(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.start()
    pid = await box.pid("a1")
    lease = await world.lease(await world.task("ship it"))
    assert lease.agent == "a1"
    await world.says("a1", "ack", lease)
    os.kill(pid, signal.SIGKILL)
    await box.is_told("a1", "restarting")
    shown = await box.is_told("a1", "working")
    assert shown.pid != pid
    again = await world.lease(lease.task_id)
    assert (again.id, again.epoch) == (lease.id, lease.epoch)


async def test_stopping_the_daemon_stops_its_agents_and_they_are_offline(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.agent("a2", "deaf", stop="200ms")
    program = await box.start()
    pids = [await box.pid("a1"), await box.pid("a2")]
    await program.stop()
    assert not [pid for pid in pids if alive(pid)]
    for name in ("a1", "a2"):
        shown = await world.who(name)
        assert (shown.status, shown.process_why) == ("offline", "stopped with the daemon")
    (machine,) = (await world.operator("machine.ls")).items
    assert machine.left_at is not None
    assert box.journal == {}
    await box.start()
    assert await box.pid("a1") not in pids


def spoken(world: World, table: str = "agents") -> str:
    """Return the session of the only one: it is shown to nobody."""
    ((session,),) = world.rows(f"SELECT session FROM {table} WHERE session IS NOT NULL")
    return str(session)


async def test_a_killed_daemon_leaves_its_agents_to_the_next_one(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.start()
    pid = await box.pid("a1")
    lease = await world.lease(await world.task("ship it"))
    await world.says("a1", "ack", lease)
    told = await box.told("status_changed", "status")
    session = spoken(world)
    await box.kill()
    assert alive(pid)
    await box.start()
    shown = await box.is_told("a1", "working", process_why=f"adopted: process {pid} ran on without a daemon")
    assert (shown.pid, spoken(world)) == (pid, session)
    assert await box.told("status_changed", "status") == told
    assert (await world.lease(lease.task_id)).id == lease.id
    os.kill(pid, signal.SIGKILL)
    await box.is_told("a1", "restarting")
    await box.is_told("a1", "working")


async def test_who_died_without_a_daemon_is_revived_and_leaves_nobody(world: World, box: Box) -> None:
    await box.agent("a1", "family")
    await box.start()
    pid = await box.pid("a1")
    orphan = int((await box.speaks("a1"))[1])
    await box.kill()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not alive(pid))
    assert alive(orphan)
    await box.start()
    await until(lambda: not alive(orphan))
    await box.is_told("a1", "ready", process_why="it ended while no daemon ran here; try 1 of 3")
    assert [line["group"] for line in box.logged("process.orphans_ended")] == [pid]


async def test_what_is_not_wanted_any_more_is_ended_and_said(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.agent("a2", "wait")
    await box.start()
    first, second = await box.pid("a1"), await box.pid("a2")
    await box.kill()
    del box.agents["a1"]
    box.define("a2", "wait", env={"NEW": "1"})
    await box.start()
    shown = await box.is_told("a1", "offline")
    assert shown.process_why == "ended: this machine's file does not name it any more"
    shown = await box.is_told("a2", "ready", process_why="its definition has changed")
    assert shown.pid != second
    assert not alive(first)
    assert not alive(second)
    assert set(box.journal) == {"a2"}


async def test_an_agent_that_ends_by_itself_with_0_is_offline(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    box.define("a1", "exit", "0", restart={"steady": "1ms", "pause": "50ms"})
    await box.start()
    await box.is_told("a1", "offline", process_why="exited with 0, by itself")
    await box.kill()
    await box.agent("a2", "wait")
    await box.start()
    await box.pid("a2")
    assert box.said("a1").split() == ["ready"]
    assert (await world.who("a1")).status == "offline"


async def test_a_stopped_agent_is_never_robbed_while_its_process_runs(world: World, box: Box) -> None:
    await box.agent("a1", "agent")
    await box.start()
    pid = await box.pid("a1")
    lease = await world.lease(await world.task("ship it"))
    os.kill(pid, signal.SIGSTOP)
    await world.forward(minutes=20)
    shown = await world.who("a1")
    assert (shown.status, shown.status_why) == ("suspect", "missed its beats; box says it runs")
    assert (await world.lease(lease.task_id)).id == lease.id
    os.kill(pid, signal.SIGCONT)
    await box.is_told("a1", "busy")
    assert (await world.lease(lease.task_id)).epoch == lease.epoch


async def test_an_outage_of_the_bus_delays_the_news_and_nothing_else(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.start()
    pid = await box.pid("a1")
    await box.cable.cut()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: len(box.logged("process.changed")) == 4)  # started, running, crashed, running
    await box.cable.join()
    shown = await box.is_told("a1", "ready", process_why="killed by SIGKILL; try 1 of 3")
    assert shown.pid != pid


async def test_the_agents_do_not_wait_for_the_bus(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.cable.cut()
    await box.start()
    await box.speaks("a1")
    await box.cable.join()
    await box.pid("a1")


async def test_a_machine_that_is_taken_for_another_joins_again(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.start()
    pid = await box.pid("a1")
    await world.raw("cmd.machine.box.join", b'{"session":"somebody-else"}')
    os.kill(pid, signal.SIGKILL)
    shown = await box.is_told("a1", "ready", process_why="killed by SIGKILL; try 1 of 3")
    assert shown.pid != pid
    assert spoken(world, "machines") != "somebody-else"


async def test_a_second_daemon_of_the_machine_is_refused(box: Box) -> None:
    program = await box.start()
    second = await box.start(wait=False)
    assert await second.ended() == 78
    assert f"process {program.process.pid} keeps the agents of this machine" in "".join(second.said)
    await program.stop()


async def test_a_secret_is_told_to_its_agent_alone(world: World, box: Box) -> None:
    box.settings["nats.creds"] = "/the/daemons/own.creds"  # which this bus does not ask for
    names = ["API_KEY", "ROLLCALL_NATS__CREDS", "ROLLCALL_AGENT", "ROLLCALL_SOCKET", "ROLLCALL_SESSION"]
    await box.agent("a1", "environment", *names, env={"API_KEY": "hush-hush"})
    program = await box.start()
    pid = await box.pid("a1")
    said = dict(word.split("=", 1) for word in (await box.speaks("a1"))[:-1])
    assert said == {
        "API_KEY": "hush-hush",
        "ROLLCALL_NATS__CREDS": "-",
        "ROLLCALL_AGENT": "a1",
        "ROLLCALL_SOCKET": str(box.home / "doors/a1.sock"),
        "ROLLCALL_SESSION": spoken(world),
    }
    os.kill(pid, signal.SIGKILL)
    await box.is_told("a1", "restarting")
    await program.stop()
    lines = [Path(f"/proc/{one}/cmdline") for one in (pid, program.process.pid)]
    told = "".join(program.said) + "".join(path.read_text() for path in lines if path.exists())
    kept = [path.read_text() for path in box.folder.rglob("*") if path.is_file() and path.suffix != ".log"]
    assert "hush-hush" not in told + "".join(text for text in kept if '"machine":' not in text)


async def test_long_output_is_put_aside_while_it_is_written(box: Box) -> None:
    box.machine |= {"log_bytes_max": 4096, "log_files": 1}
    await box.agent("a1", "chatty")
    await box.start()
    old = box.home / "logs/a1.log.1"
    await until(lambda: old.exists() and old.stat().st_size > 4096 and not box.said("a1"))
    assert len(old.read_text().split()) == 10_001


async def test_the_agents_word_goes_through_its_own_door(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.agent("a2", "wait", creds="a2.creds")  # this bus does not ask for them
    await box.start()
    asked = b"POST /api/v1/agent/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    for name in ("a1", "a2"):
        await box.pid(name)
        door = box.home / f"doors/{name}.sock"
        await until(door.exists)
        async with await anyio.connect_unix(str(door)) as caller:
            await caller.send(asked)
            heard = await caller.receive()
        assert heard.startswith(b"HTTP/1.1 200 ")
        assert f'"agent":"{name}"'.encode() in heard


async def test_without_doors_the_agents_live_all_the_same(world: World, box: Box) -> None:
    box.home.mkdir(parents=True)
    (box.home / "doors").write_text("in the way")
    await box.agent("a1", "wait")
    await box.start()
    await box.pid("a1")
    await until(lambda: bool(box.logged("doors.not_opened")))


async def test_the_machine_beats_with_the_facts_of_its_processes(world: World, box: Box) -> None:
    heard = Seen()
    await world.bus.subscribe("rollcall.v1.hb.>", heard)
    box.machine["beat"] = "1s"
    await world.operator("agent.add", name="a1", capabilities=["python", "review"])
    box.define("a1", "wait", capabilities=["review", "cooking"])
    await box.start()
    pid = await box.pid("a1")
    heard.clear()
    await heard.have(2)
    assert {message.subject for message in heard} == {"rollcall.v1.hb.machine.box"}
    said = msgspec.json.decode(heard[0].data, type=MachineBeat)
    assert [(facts.agent, facts.state, facts.pid) for facts in said.processes] == [("a1", "running", pid)]
    shown = await world.who("a1")
    assert shown.capabilities == ("review",)  # the file narrows what the operator gave, and adds nothing


async def test_a_beat_that_is_refused_makes_the_machine_join_again(world: World, box: Box) -> None:
    box.machine["beat"] = "1s"
    await box.start()
    await until(lambda: bool(box.logged("machine.joined")))
    await world.raw("cmd.machine.box.join", b'{"session":"somebody-else"}')
    await until(lambda: len(box.logged("machine.joined")) == 2)
    assert spoken(world, "machines") == box.logged("machine.joined")[0]["session"]


async def test_who_cannot_be_started_after_a_stop_is_not_shown_as_one_who_left(
    world: World, box: Box
) -> None:
    await box.agent("a1", "wait")
    program = await box.start()
    await box.pid("a1")
    program.process.terminate()
    await program.ended()
    await box.is_told("a1", "offline")
    box.define("a1", command=["/nowhere/at-all"])
    await box.start()
    shown = await box.is_told("a1", "dead_failed_revive")
    assert "3 tries failed" in shown.status_why


async def test_what_the_daemon_writes_nobody_else_reads(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.start()
    await box.pid("a1")
    folders = [box.home.parent, box.home, *(path for path in box.home.iterdir() if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


async def test_an_agent_that_nobody_registered_runs_and_is_not_believed(world: World, box: Box) -> None:
    box.define("ghost", "wait")
    await box.start()
    await box.speaks("ghost")
    await until(lambda: bool(box.logged("process.not_believed")))
    (line,) = box.logged("process.not_believed")
    assert (line["agent"], line["reason"]) == ("ghost", "there is no active agent ghost")


async def test_the_bus_is_found_wherever_it_comes_up(world: World, box: Box) -> None:
    url, box.url = box.url, ""
    await box.agent("a1", "wait")
    await box.start()
    await until(lambda: bool(box.logged("bus.not_found")))
    place = box.folder / "nats.url"
    place.write_text(url)
    pid = await box.pid("a1")
    await box.cable.cut()
    async with cable(int(world.nats.address.rpartition(":")[2])) as elsewhere:
        place.write_text(elsewhere.url)
        os.kill(pid, signal.SIGKILL)
        await box.is_told("a1", "ready", process_why="killed by SIGKILL; try 1 of 3")
        assert box.program is not None
        await box.program.stop()


async def test_a_log_that_cannot_be_put_aside_stops_nobody(box: Box) -> None:
    box.machine |= {"log_bytes_max": 4096, "log_files": 1}
    (box.home / "logs/a1.log.1/full").mkdir(parents=True)
    await box.agent("a1", "chatty")
    await box.start()
    await until(lambda: bool(box.logged("log.not_rotated")))
    await box.pid("a1")


async def test_what_nobody_took_is_reported_again(world: World, box: Box) -> None:
    await box.agent("a1", "wait")
    await box.start()
    pid = await box.pid("a1")
    await world.stop()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: len(box.logged("process.changed")) == 4 and bool(box.logged("report.not_taken")))
    await world.start()
    shown = await box.is_told("a1", "ready", process_why="killed by SIGKILL; try 1 of 3")
    assert shown.pid != pid
