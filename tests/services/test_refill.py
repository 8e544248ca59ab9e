"""The stream of events is lost: the audit fills it again under the same ids."""

import msgspec

from tests.support.nats import until
from tests.support.world import World


def ids(world: World) -> list[str]:
    """Return the ids of the events that a plain subscriber heard, in their order."""
    return [heard.headers["Nats-Msg-Id"] for heard in world.heard if heard.subject.startswith("evt.")]


async def test_a_lost_stream_of_events_is_filled_from_the_audit(world: World) -> None:
    _, lease = await world.given("a1")
    await world.settle()
    before = ids(world)
    await world.bus.request("$JS.API.STREAM.DELETE.ROLLCALL_EVENTS", b"", timeout_s=5)
    await world.says("a1", "complete", lease)  # its event finds that there is no stream
    wanted = world.rows("SELECT count(*) FROM audit")[0][0]

    async def whole() -> bool:
        reply = await world.bus.request("$JS.API.STREAM.INFO.ROLLCALL_EVENTS", b"", timeout_s=5)
        info = msgspec.json.decode(reply.data)
        return "state" in info and info["state"]["messages"] == wanted

    await until(whole)
    await until(lambda: world.rows("SELECT count(*) FROM meta WHERE key = 'refill_after'") == [(0,)])
    again = ids(world)[len(before) :]
    assert set(before) < set(again)
    assert len(set(again)) == wanted
