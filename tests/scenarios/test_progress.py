"""Accepted work: real progress keeps it, being there defers once, silence and chatter lose it."""

from tests.support.world import World


async def test_a_healthy_task_of_two_hours_is_left_alone(world: World) -> None:
    task, lease = await world.given("a1")
    await world.forward(minutes=1)
    await world.writes("a1", "ack", lease)
    for number in range(14):
        await world.forward(minutes=9)
        await world.writes("a1", "progress", lease, note=f"part {number} is done")
    await world.says("a1", "complete", lease, result="shipped")
    shown = await world.show(task)
    assert shown.task.status == "done"
    assert [(row.agent, row.end_reason) for row in shown.assignments] == [("a1", "completed")]
    assert world.pinged("a1") == [0]
    assert world.rows("SELECT count(*) FROM escalations") == [(0,)]


async def test_a_healthy_task_of_two_hours_with_beats_is_left_alone(world: World) -> None:
    await world.agent("a1", beats="required")
    await world.asks("a1", "agent.join", session="s1")
    task = await world.task("ship it")
    lease = await world.lease(task)
    await world.writes("a1", "ack", lease)
    for beats in range(1, 2 * 60 * 2 + 1):
        await world.bus.publish("rollcall.v1.hb.a1", b'{"session":"s1"}')
        await world.forward(seconds=30)
        if beats % 18 == 0:
            await world.writes("a1", "progress", lease, note=f"{beats // 2} minutes in")
    assert (await world.who("a1")).status == "working"
    changes = [event["data"]["status"] for event in world.events("status_changed", of="agent")]
    assert set(changes) <= {"ready", "busy", "working"}, changes
    assert world.pinged("a1") == [0]
    assert world.rows("SELECT count(*) FROM escalations") == [(0,)]
    await world.says("a1", "complete", lease, result="shipped")
    shown = await world.show(task)
    assert [(row.agent, row.end_reason) for row in shown.assignments] == [("a1", "completed")]


async def test_work_without_progress_is_asked_about_then_moved(world: World) -> None:
    task, lease = await world.given("a1")
    await world.says("a1", "ack", lease)
    await world.forward(minutes=29, seconds=59)
    assert world.pinged("a1") == [0, 10]
    assert (await world.lease(task)).agent == "a1"
    await world.forward(seconds=2)
    assert (await world.lease(task)).agent == "Ruto"
    (moved,) = [row for row in (await world.show(task)).assignments if row.id == lease.id]
    assert (moved.status, moved.end_reason) == ("failed", "timed_out")


async def test_chatter_is_no_progress(world: World) -> None:
    task, lease = await world.given("a1")
    await world.says("a1", "progress", lease, note="working")
    for _ in range(6):
        await world.forward(minutes=4)
        outcome = await world.says("a1", "progress", lease, note="working ")
        assert outcome.already
    await world.forward(minutes=6, seconds=1)
    assert (await world.lease(task)).agent == "Ruto"


async def test_still_being_there_defers_the_act_once(world: World) -> None:
    task, lease = await world.given("a1")
    await world.says("a1", "ack", lease, attempt=1)
    await world.forward(minutes=10)
    assert (await world.says("a1", "ack", lease, attempt=2)).deferred
    await world.forward(minutes=30)
    assert world.pinged("a1") == [0, 10, 40]
    assert not (await world.says("a1", "ack", lease, attempt=3)).deferred
    await world.forward(minutes=4, seconds=59)
    assert (await world.lease(task)).agent == "a1"
    await world.forward(seconds=2)
    assert (await world.lease(task)).agent == "Ruto"


async def test_an_ack_of_an_old_ping_defers_nothing(world: World) -> None:
    task, lease = await world.given("a1")
    await world.says("a1", "ack", lease, attempt=1)
    await world.forward(minutes=10)
    for attempt in (1, None):
        assert not (await world.says("a1", "ack", lease, attempt=attempt)).deferred
    await world.forward(minutes=20, seconds=1)
    assert (await world.lease(task)).agent == "Ruto"


async def test_beats_are_no_progress(world: World) -> None:
    await world.agent("a1", beats="required")
    await world.asks("a1", "agent.join", session="s1")
    task = await world.task("ship it")
    lease = await world.lease(task)
    await world.says("a1", "ack", lease)
    for _ in range(61):
        await world.bus.publish("rollcall.v1.hb.a1", b'{"session":"s1"}')
        await world.forward(seconds=30)
    assert (await world.who("a1")).status == "ready"
    assert (await world.lease(task)).agent == "Ruto"
