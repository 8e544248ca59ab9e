"""Presence: joining gives back what is still held, three missed beats make suspect, and a beat heals it."""

import msgspec
import pytest

from tests.support.nats import until
from tests.support.world import Refused, World


async def beat(world: World, name: str = "a1", **fields: object) -> None:
    """Beat once, and wait until it was taken: written, or kept because what is written still holds."""
    before = world.rows("SELECT version FROM agents WHERE name = ?", name)
    await world.bus.publish(f"rollcall.v1.hb.{name}", msgspec.json.encode(fields))

    def taken() -> bool:
        loops = [house.runtime.listeners["hb.*"] for house in world.houses if house.runtime.listeners]
        resting = [loop._resting._waiting.get(name) for loop in loops]
        kept = any(word is not None and word.at_us == world.clock.at for word in resting)
        return kept or world.rows("SELECT version FROM agents WHERE name = ?", name) != before

    await until(taken)


async def joined(world: World, **fields: object) -> None:
    await world.agent("a1", beats="required")
    assert (await world.who("a1")).status == "offline"
    await world.asks("a1", "agent.join", **{"session": "s1", **fields})
    assert (await world.who("a1")).status == "ready"


async def test_three_missed_beats_make_suspect_and_one_heals(world: World) -> None:
    await joined(world)
    await world.forward(seconds=89)
    assert (await world.who("a1")).status == "ready"
    await world.forward(seconds=1)
    assert (await world.who("a1")).status == "suspect"
    await beat(world, session="s1")
    shown = await world.who("a1")
    assert (shown.status, shown.status_why) == ("ready", "present")
    changes = [(event["data"]["before"], event["data"]["status"]) for event in world.events("status_changed")]
    assert changes == [("offline", "ready"), ("ready", "suspect"), ("suspect", "ready")]


async def test_beats_on_time_keep_it_present_and_say_nothing(world: World) -> None:
    await joined(world, interval_s=10)
    for _ in range(30):
        await world.forward(seconds=29)
        await beat(world, session="s1", interval_s=10)
    assert len(world.events("status_changed")) == 1


async def test_a_suspect_keeps_its_work_and_gets_no_more(world: World) -> None:
    await joined(world)
    task = await world.task("ship it")
    lease = await world.lease(task)
    await world.says("a1", "ack", lease)
    await world.operator("agent.set", name="a1", capacity=5)
    await world.forward(seconds=140)
    assert (await world.who("a1")).status == "suspect"
    assert (await world.lease(task)).id == lease.id
    assert (await world.lease(await world.task("another"))).agent == "Ruto"
    await beat(world)
    assert (await world.who("a1")).status == "working"
    assert (await world.lease(await world.task("a third"))).agent == "a1"


async def test_joining_again_gives_back_what_is_held(world: World) -> None:
    await joined(world)
    task = await world.task("ship it")
    lease = await world.lease(task)
    await world.says("a1", "ack", lease)
    back = await world.asks("a1", "agent.join", session="s2")
    assert (back.session, back.incarnation) == ("s2", world.incarnation)
    assert [(held.assignment, held.epoch, held.status) for held in back.leases] == [
        (lease.id, lease.epoch, "acknowledged")
    ]
    assert (await world.who("a1")).status == "working"  # rejoining in the midst of a task is not being free
    assert await world.lease(task) != lease
    assert (await world.lease(task)).id == lease.id


async def test_sync_says_what_is_owed_as_a_ping_would(world: World) -> None:
    _, lease = await world.given("a1")
    (heard,) = world.pings("a1")
    synced = await world.sync("a1")
    assert synced.leases[0].ping is not None
    assert msgspec.to_builtins(synced.leases[0].ping)["attempt"] == heard.body["attempt"] == 1
    owed = await world.asks("a1", "assignment.next")
    assert (owed.status, owed.lease.assignment) == ("due", lease.id)
    await world.says("a1", "ack", lease, attempt=1)
    assert (await world.sync("a1")).leases[0].ping is None
    assert (await world.asks("a1", "assignment.next")).status == "none"


async def test_who_leaves_is_offline_on_purpose_and_its_clocks_run_on(world: World) -> None:
    await joined(world)
    task = await world.task("ship it")
    left = await world.asks("a1", "agent.leave", session="s1")
    assert left.leases == 1
    assert (await world.who("a1")).status == "offline"
    await world.forward(minutes=10)
    assert (
        world.events("status_changed")[-1]["data"]["status"] == "offline"
    )  # not suspect: nobody listens for it
    await world.forward(minutes=21)
    assert (await world.lease(task)).agent == "Ruto"


async def test_the_newest_session_counts(world: World) -> None:
    await joined(world)
    await world.asks("a1", "agent.join", session="s2")
    with pytest.raises(Refused, match="409 stale_session"):
        await world.asks("a1", "agent.leave", session="s1")
    assert (await world.who("a1")).status == "ready"


async def test_capabilities_can_be_narrowed_and_never_widened(world: World) -> None:
    await world.agent("a1", beats="required", capabilities=["go", "rust"])
    await world.asks("a1", "agent.join", session="s1", capabilities=["rust", "root"])
    assert (await world.who("a1")).capabilities == ("rust",)


@pytest.mark.parametrize("verb", ["join", "leave", "sync"])
async def test_an_unknown_agent_is_told_so(world: World, verb: str) -> None:
    params = {"session": "s1"} if verb == "join" else {}
    with pytest.raises(Refused, match="404 not_found"):
        await world.asks("ghost", f"agent.{verb}", **params)


@pytest.mark.parametrize("case", ["unknown", "never joined", "left", "other session", "inactive"])
async def test_a_wrong_beat_is_answered(world: World, case: str) -> None:
    if case != "unknown":
        await world.agent("a1", beats="required")
    if case in {"left", "other session", "inactive"}:
        await world.asks("a1", "agent.join", session="s2")
    if case == "left":
        await world.asks("a1", "agent.leave")
    if case == "inactive":
        await world.operator("agent.set", name="a1", active=False)
    await world.bus.publish("rollcall.v1.hb.a1", b'{"session":"s1"}')
    await until(lambda: bool(world.on("answer.a1.presence")))
    assert world.on("answer.a1.presence")[-1].body["code"] == "rejoin_required"


async def test_a_wrong_beat_that_asks_is_answered_where_it_asks(world: World) -> None:
    reply = await world.raw("hb.ghost", b"{}")
    assert msgspec.json.decode(reply.data)["code"] == "rejoin_required"


async def test_a_right_beat_is_not_answered(world: World) -> None:
    await joined(world)
    await beat(world, session="s1")
    await beat(world)
    await world.hear()
    assert world.on("answer.a1.presence") == []
    assert (await world.who("a1")).status == "ready"


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"seq":7,"at":"1970-01-01T00:00:00Z"}', b'{"at":"2100-01-01T00:00:00Z","extra":[1]}'],
)
async def test_only_our_clock_says_when_a_beat_was_heard(world: World, body: bytes) -> None:
    await joined(world)
    await world.forward(minutes=5)
    await world.bus.publish("rollcall.v1.hb.a1", body)
    query = "SELECT beat_at FROM agents WHERE name = 'a1'"
    await until(lambda: world.rows(query) == [(world.clock.at,)])
    assert (await world.who("a1")).status == "ready"


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b"null", b'{"interval_s":"x"}', b'{"seq":-1}', b'{"session":"a.b"}', b"[" * 5000],
)
async def test_an_unreadable_beat_harms_nobody(world: World, body: bytes) -> None:
    await joined(world)
    await world.bus.publish("rollcall.v1.hb.a1", body)
    await world.bus.publish("rollcall.v1.hb.a*b", b"{}")
    await world.hear()
    await beat(world, session="s1")
    assert (await world.who("a1")).status == "ready"


@pytest.mark.parametrize("interval_s", [0, -5, 2**62])
async def test_an_odd_interval_harms_nobody(world: World, interval_s: int) -> None:
    await joined(world)
    await world.bus.publish("rollcall.v1.hb.a1", msgspec.json.encode({"interval_s": interval_s}))
    await world.hear()
    await beat(world, session="s1", interval_s=30)
    assert (await world.who("a1")).status == "ready"


async def test_an_agent_without_beats_is_judged_by_its_promises_alone(world: World) -> None:
    _, lease = await world.given("a1")
    await world.forward(minutes=20)
    assert (await world.who("a1")).status == "busy"
    await world.says("a1", "ack", lease)
    assert (await world.who("a1")).status == "working"
    await world.says("a1", "complete", lease)
    shown = await world.who("a1")
    assert (shown.status, shown.status_why) == ("ready", "no beats")


async def test_a_beat_whose_predecessor_was_just_written_waits_and_nobody_is_judged_without_it(
    world: World,
) -> None:
    await joined(world)
    beaten = "SELECT beat_at FROM agents WHERE name = 'a1'"
    await beat(world, session="s1")
    written = world.rows(beaten)
    await world.forward(seconds=30)
    await beat(world, session="s1")
    kept = world.clock.at
    assert world.rows(beaten) == written  # it is in memory
    await world.forward(seconds=59)
    assert world.rows(beaten) == written or world.rows(beaten) == [(kept,)]
    await until(lambda: world.rows(beaten) == [(kept,)])  # three quarters of the time to live are over
    await world.forward(seconds=29)
    assert (await world.who("a1")).status == "ready"
    await world.forward(seconds=5)
    assert (await world.who("a1")).status == "suspect"


async def test_a_beat_after_a_change_of_its_agent_is_looked_at_at_once(world: World) -> None:
    await joined(world)
    await beat(world, session="s1")
    await world.asks("a1", "agent.leave")
    await world.hear()
    reply = await world.raw("hb.a1", b'{"session":"s1"}')
    assert msgspec.json.decode(reply.data)["code"] == "rejoin_required"


async def test_what_waits_in_memory_is_written_before_the_monitor_stops(world: World) -> None:
    await joined(world)
    await beat(world, session="s1")
    await world.forward(seconds=20)
    await beat(world, session="s1")
    await world.stop()
    assert world.rows("SELECT beat_at FROM agents WHERE name = 'a1'") == [(world.clock.at,)]
