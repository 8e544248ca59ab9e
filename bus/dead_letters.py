"""Dead letters: how one is cut down, read from its stream, and replayed to where it came from."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from bus.api import Outgoing
from contracts.codec import encode
from contracts.errors import NotFoundError, UnavailableError
from contracts.messages import DeadLetter
from contracts.operations.dead_letters import Entry, ListResult, ReplayResult

if TYPE_CHECKING:
    from bus.service import Context, Request

API_TIMEOUT_S = 5.0


def shortened(letter: DeadLetter) -> DeadLetter | None:
    """Return the letter without its body, for a stream that refuses it whole; None: there is no body."""
    if not letter.body and not letter.body_base64:
        return None
    size = len(letter.body.encode()) or len(letter.body_base64) * 3 // 4
    reason = f"{letter.reason} (the body of {size} bytes was refused by the stream of dead letters)"
    return structs.replace(letter, body="", body_base64="", reason=reason)


class _Stored(Struct):
    seq: int
    data: str = ""


class _Error(Struct):
    code: int
    description: str = ""


class _Got(Struct):
    message: _Stored | None = None
    error: _Error | None = None


async def _get(context: Context, query: dict[str, object]) -> Entry | None:
    """Read one stored letter by the stream's own interface; None when there is none."""
    subject = f"$JS.API.STREAM.MSG.GET.{context.streams('DLQ')}"
    reply = await context.bus.request(subject, encode(query), timeout_s=API_TIMEOUT_S)
    got = msgspec.json.decode(reply.data, type=_Got)
    if got.error is not None and got.error.code != 404:  # noqa: PLR2004 - not found
        raise UnavailableError(got.error.description)
    if got.message is None:
        return None
    letter = msgspec.json.decode(base64.b64decode(got.message.data), type=DeadLetter)
    return Entry(seq=got.message.seq, letter=letter)


def _without_session(entry: Entry) -> Entry:
    """Return a letter as it may be looked at: by a session an agent tells its life from an older one."""
    try:
        said = msgspec.json.decode(entry.letter.body, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError):
        return entry
    if "session" not in said:
        return entry
    said.pop("session")
    return structs.replace(entry, letter=structs.replace(entry.letter, body=encode(said).decode()))


async def listed(request: Request, context: Context) -> bytes:
    """Answer `dlq.ls`."""
    items: list[Entry] = []
    after = request.params.after
    while len(items) < request.params.limit:
        entry = await _get(context, {"seq": after + 1, "next_by_subj": f"{context.root}.dlq.>"})
        if entry is None:
            return encode(ListResult(items=tuple(items), next=None))
        items.append(_without_session(entry))
        after = entry.seq
    return encode(ListResult(items=tuple(items), next=after))


async def _one(context: Context, seq: int) -> Entry:
    entry = await _get(context, {"seq": seq})
    if entry is None:
        raise NotFoundError(f"there is no dead letter {seq}")
    return entry


async def shown(request: Request, context: Context) -> bytes:
    """Answer `dlq.show`."""
    return encode(_without_session(await _one(context, request.params.seq)))


async def replay(request: Request, context: Context) -> bytes:
    """Answer `dlq.replay`: put it back first, delete the letter then; twice is harmless, never is not."""
    entry = await _one(context, request.params.seq)
    letter = entry.letter
    if letter.source == "row" and letter.row is not None:
        committed = await context.ledger.release(letter.stream, letter.row, context.clock.now())
        context.outbox.put(committed.posts)
        what = f"{letter.stream} {letter.row}"
    else:
        data = base64.b64decode(letter.body_base64) if letter.body_base64 else letter.body.encode()
        again = Outgoing(letter.subject, data, f"replay:{entry.seq}:{context.clock.now()}")
        refused = await context.bus.publish_batch([again], stream=letter.stream)
        if refused:
            raise UnavailableError(refused[0].reason)
        what = letter.subject
    delete = f"$JS.API.STREAM.MSG.DELETE.{context.streams('DLQ')}"
    await context.bus.request(delete, encode({"seq": entry.seq}), timeout_s=API_TIMEOUT_S)
    return encode(ReplayResult(seq=entry.seq, replayed=what))
