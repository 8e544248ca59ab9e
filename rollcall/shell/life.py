"""One verb of an agent, from what was typed to the code it ends with."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rollcall.cli import words
from rollcall.cli.codes import NOTHING, exit_code, refusal
from rollcall.cli.show import show
from rollcall.cli.text import clean
from rollcall.shell import door, parsing, places, sessions

WAIT_S: Final = 50.0  # of one request; clients of language models give up on a call after 60 s
TABLE: Final = "verbs.json"
Verb = dict[str, Any]


def run(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int | None:
    """Do a verb at its agent's door and return the exit code; None: the long way has to do it."""
    if not arguments or not arguments[0][:1].isalpha():
        return None
    verb = find(arguments[0])
    values = parsing.parse(verb["parameters"], arguments[1:]) if verb else None
    if verb is None or values is None:
        return None
    form = values.pop("form", "table")
    place = places.find(values.pop("speaker", None), environ)
    if place is None or not os.path.exists(place.socket):
        return None
    wait_s = values.pop("wait", WAIT_S) if verb["operation"] == "assignment.next" else 0.0
    fields = parsing.finished(verb, values, place.scale)
    if fields is None:
        return None
    body = completed(verb, fields, place, environ)
    try:
        status, answer = asked(place.socket, verb["verb"], body, wait_s)
    except door.NoDoor:
        return None
    except door.NoAnswer as error:
        status, answer = 503, silent(str(error), body)
    if status >= 400:  # noqa: PLR2004 - HTTP's
        return refused(answer, body, form)
    show(verb["operation"], answer, form)
    if note := sessions.settle(verb["operation"], body.get("session", ""), place.session):
        say(note)
    say(f"next: {words.after(verb['operation'], body, answer)}")
    return NOTHING if answer.get("status") == "none" else 0


def find(word: str) -> Verb | None:
    """Return a verb by its name or one of its aliases."""
    with open(os.path.join(os.path.dirname(__file__), TABLE), encoding="utf-8") as file:
        table = json.load(file)
    found: Verb | None = table["verbs"].get(table["aliases"].get(word, word))
    return found


def completed(verb: Verb, fields: Verb, place: places.Place, environ: Mapping[str, str]) -> Verb:
    """Return the body of the request: with its kind, its id and its session, where it has them."""
    body = ({"kind": verb["tag"]} if verb["tag"] else {}) | fields
    if not verb["query"] and "command_id" not in body:
        body["command_id"] = identity()
    if verb["session"] and "session" not in body:
        joins = verb["operation"] == "agent.join"
        agent = place.agent
        session = sessions.chosen(agent, environ) if joins else sessions.known(agent, place.session, environ)
        body |= {"session": session} if session else {}
    return body


def asked(path: str, verb: str, body: Verb, wait_s: float) -> tuple[int, Any]:
    """Ask, and again while nothing is due and there is time."""
    ends = time.monotonic() + wait_s
    while True:
        left = max(0.0, ends - time.monotonic())
        status, answer = door.ask(path, verb, body, wait_s=min(left, WAIT_S))
        if left <= WAIT_S or answer.get("status") != "none":
            return status, answer


def refused(problem: Any, body: Verb, form: str) -> int:
    """Say why it was refused, and what to do; return the exit code."""
    if form == "table":
        say(f"Error: {clean(refusal(problem))}")
        say(f"next: {words.after_refusal(problem, body, agent=True)}")
    else:
        say(json.dumps(problem, separators=(",", ":"), ensure_ascii=False))
    return exit_code(problem["status"])


def silent(detail: str, body: Verb) -> Verb:
    """Return the refusal that stands for no answer at all."""
    if identity := body.get("command_id"):
        detail += f"; to try again safely add --command-id {identity}"
    title = "The service cannot be reached: the outcome is unknown, try again with the same command id"
    return {"code": "unavailable", "status": 503, "title": title, "detail": detail, "retryable": True}


def identity() -> str:
    """Return a random UUID; the module for it takes longer to import than all of this."""
    bits = bytearray(os.urandom(16))
    bits[6], bits[8] = bits[6] & 0x0F | 0x40, bits[8] & 0x3F | 0x80
    text = bits.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def say(line: str) -> None:
    """Write a line to standard error, after all that went to standard output."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
