"""The bus in memory: deterministic, on the running loop's time, under the same tests as the real one.

    server = MemoryServer(clock, rng=random.Random(1))   # a `Clock`: it stamps what is stored
    bus = await MemoryBus.open(server, name="house-1")   # a `Bus`; raises BusUnavailable while it is down
    await bus.ensure(streams.topology(ROOT))             # returns changes, as `streams.ensure` does
    server.taps.append(history.append)                   # a `Record` of each thing heard, stored, ...

There is no thread, no task and no wall clock in it. Timers (waits for an ack, delays, time-outs, the
way back of a connection) are `call_later` of the running loop, so they follow virtual time; the age of
messages, their TTL and the duplicate window go by `clock.now()`. Chance comes only from the `random.Random`
that is passed in: one chooses in queue groups, another is the weather's own. Names, inboxes and places in
streams are counted. Nothing is iterated but what keeps its order.

What can go wrong, on the server:

- `stop()` and `start(put_back=n)`: a crash and a restart. Connections notice at once, come back after
  `Weather.away_s`, and call what was given to `on_reconnect`. Core messages of that time are lost, streams
  stay; what was not settled comes again after its ack wait, or, with `put_back`, at once and as if for the
  first time, together with the last n that were settled.
- `cut(bus)` and `join(bus)`: the same for one connection. `publish` and acks are held and sent afterwards, up
  to 8 MiB; `publish_batch` and `request` raise BusUnavailable.
- `abandon(bus)`: the crash of a process. Its subscriptions and requests are gone, no call returns, no
  callback comes, and what its tasks still do has no effect. What it had pulled comes again after an ack wait.
- `lose(stream)`, `lose_consumer(stream, durable)`: deleted, and pullers get ConsumerGone.
- `repeat(stream, durable)`: all that was given out and not settled is delivered once more, now.
- `server.weather = Rough(rng, lose=0.01, hops=("puback",))`, or any `Weather`: asked at each hop of each
  message, it loses, doubles and delays; what is delayed is overtaken, and that is how messages are reordered.
  A lost `store` or `puback` is a BusTimeout of the batch; a lost `push` or `settle` is a redelivery after the
  ack wait; a lost `pull` is asked again after 12 s; a lost request or reply is a BusTimeout. In calm weather
  all arrives at once and in order.

`server.streams[name].messages` (by place in the stream) and `.consumers[durable]` may be read at any time.
A pause of a process (SIGSTOP) is not the bus's matter: hold its tasks, and `cut` it if the pause is long.
Not modelled: permissions, batches that are stored as a whole or not at all, replicas, and limits of
consumers other than `ack_wait` and `max_ack_pending`.
"""

from bus.memory.connection import MemoryBus
from bus.memory.server import MemoryServer
from bus.memory.weather import Calm, Hop, Record, Rough, Weather

__all__ = ["Calm", "Hop", "MemoryBus", "MemoryServer", "Record", "Rough", "Weather"]
