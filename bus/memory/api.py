"""JetStream's API over the in-memory streams: as much of it as `bus.streams` and the tests ask for."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bus.memory.consumers import MemoryConsumer
from bus.memory.streams import Config, MemoryStream, Refusal, overlap

if TYPE_CHECKING:
    from bus.memory.server import MemoryServer

PREFIX: Final = "$JS.API."
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def answer(server: MemoryServer, subject: str, body: bytes) -> bytes | None:
    """Answer a request, or return nothing where the server has no such door."""
    verb, _, rest = subject.removeprefix(PREFIX).partition(".")
    try:
        if verb == "INFO":
            return msgspec.json.encode({"streams": len(server.streams)})
        asked: Config = msgspec.json.decode(body) if body else {}
        handlers = {"STREAM": _on_stream, "CONSUMER": _on_consumer}
        found = handlers[verb](server, rest, asked) if verb in handlers else None
    except Refusal as error:
        said = {"code": error.code, "err_code": error.err_code, "description": error.description}
        return msgspec.json.encode({"error": said})
    return None if found is None else msgspec.json.encode(found)


def _on_stream(server: MemoryServer, rest: str, asked: Config) -> Config | None:
    verb, _, name = rest.rpartition(".") if "." in rest else (rest, "", "")
    match verb:
        case "NAMES":
            names = [stream.name for stream in server.streams.values() if _touches(stream, asked["subject"])]
            return {"streams": names or None}
        case "CREATE":
            return _create(server, asked)
        case "INFO":
            return _info(server, stream_of(server, name))
        case "UPDATE":
            stream = stream_of(server, name)
            _refuse_overlap(server, asked)
            stream.config = asked
            return _info(server, stream)
        case "DELETE":
            stream_of(server, name)
            server.lose(name)
            return {"success": True}
        case "PURGE":
            stream = stream_of(server, name)
            if stream.config.get("deny_purge"):
                raise Refusal(500, 10_110, "stream purge not permitted")
            purged = list(stream.messages)
            for seq in purged:
                stream.remove(seq)
            return {"success": True, "purged": len(purged)}
        case "MSG.GET" | "MSG.DELETE":
            return _on_message(stream_of(server, name), verb, asked)
        case _:
            return None


def _on_message(stream: MemoryStream, verb: str, asked: Config) -> Config:
    if verb == "MSG.GET":
        return _newest(stream, asked["last_by_subj"])
    if stream.config.get("deny_delete"):
        raise Refusal(500, 10_057, "message delete not permitted")
    stream.remove(asked["seq"])
    return {"success": True}


def _newest(stream: MemoryStream, subject: str) -> Config:
    found = [stored for stored in stream.messages.values() if stored.subject == subject]
    if not found:
        raise Refusal(404, 10_037, "no message found")
    lines = "".join(f"{name}: {value}\r\n" for name, value in found[-1].headers.items())
    return {
        "message": {
            "subject": subject,
            "seq": found[-1].seq,
            "hdrs": b64encode(f"NATS/1.0\r\n{lines}\r\n".encode()).decode(),
            "data": b64encode(found[-1].data).decode(),
        }
    }


def _on_consumer(server: MemoryServer, rest: str, asked: Config) -> Config | None:
    verb, stream_name, name = rest.rsplit(".", 2)
    stream = stream_of(server, stream_name)
    if verb == "DURABLE.CREATE":
        return _consumer_info(_create_consumer(stream, name, asked["config"]))
    consumer = stream.consumers.get(name)
    if consumer is None:
        raise Refusal(404, 10_014, "consumer not found")
    match verb:
        case "INFO":
            return _consumer_info(consumer)
        case "DELETE":
            server.lose_consumer(stream_name, name)
            return {"success": True}
        case _:
            return None


def stream_of(server: MemoryServer, name: str) -> MemoryStream:
    """Return a stream by its name; raises Refusal."""
    try:
        return server.streams[name]
    except KeyError:
        raise Refusal(404, 10_059, "stream not found") from None


def _touches(stream: MemoryStream, subject: str) -> bool:
    return any(overlap(subject, pattern) for pattern in stream.config["subjects"])


def _create(server: MemoryServer, config: Config) -> Config:
    name = config["name"]
    if name in server.streams:
        if server.streams[name].config != config:
            raise Refusal(400, 10_058, "stream name already in use with a different configuration")
        return _info(server, server.streams[name])
    _refuse_overlap(server, config)
    server.streams[name] = MemoryStream(config, f"{timestamp(server.clock.now())} {server.number()}")
    return _info(server, server.streams[name])


def _refuse_overlap(server: MemoryServer, config: Config) -> None:
    others = [stream for stream in server.streams.values() if stream.name != config["name"]]
    if any(_touches(other, subject) for other in others for subject in config["subjects"]):
        raise Refusal(400, 10_065, "subjects overlap with an existing stream")


def _create_consumer(stream: MemoryStream, name: str, config: Config) -> MemoryConsumer:
    if name in stream.consumers:
        stream.consumers[name].config = config
        return stream.consumers[name]
    if stream.is_queue and stream.consumers:
        raise Refusal(400, 10_099, "multiple non-filtered consumers not allowed on workqueue stream")
    stream.consumers[name] = MemoryConsumer(stream, config | {"durable_name": name})
    return stream.consumers[name]


def _info(server: MemoryServer, stream: MemoryStream) -> Config:
    stream.expire(server.clock.now())
    oldest = next(iter(stream.messages.values()), None)
    state: dict[str, Any] = {
        "messages": len(stream.messages),
        "bytes": stream.bytes,
        "first_seq": oldest.seq if oldest else stream.last_seq + 1,
        "first_ts": timestamp(oldest.at_us if oldest else 0),
        "last_seq": stream.last_seq,
    }
    return {"config": stream.config, "created": stream.created, "state": state}


def _consumer_info(consumer: MemoryConsumer) -> Config:
    return {
        "config": consumer.config,
        "num_pending": consumer.ahead,
        "num_ack_pending": consumer.unsettled,
        "num_waiting": len(consumer.waiting),
    }


def timestamp(at_us: int) -> str:
    """Return an instant as the server writes it."""
    return (EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
