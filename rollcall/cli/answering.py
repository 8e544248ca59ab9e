"""Asking the house, and showing what it says."""

import json
from collections.abc import Mapping
from typing import Any

import click
import msgspec
from msgspec import Struct

from contracts.operations import Operation
from rollcall.cli.failures import Refused
from rollcall.cli.setting import Caller
from rollcall.cli.words import after, after_refusal
from rollcall.shell import sessions


def ask(caller: Caller, operation: Operation, params: Struct, known: Mapping[str, str] | None = None) -> None:
    """Ask, and show the answer, with what is `known` here alone."""
    data = answer(caller, operation, params)
    if known:
        data = msgspec.json.encode(msgspec.json.decode(data) | known)
    told(caller, operation, params, data)


def answer(caller: Caller, operation: Operation, params: Struct) -> bytes:
    """Ask, and return the answer; raises Refused or Failed."""
    from rollcall.cli import wire

    try:
        data: bytes = wire.run(
            lambda: wire.exchange(caller.settings, operation, caller.name, params, timeout_s=caller.timeout_s)
        )
    except wire.RefusedError as error:
        raise refused(caller, operation, params, error) from error
    return data


def refused(caller: Caller, operation: Operation, params: Struct, error: Any) -> Refused:
    """Return the failure for a refusal."""
    problem = msgspec.to_builtins(error.problem)
    agent = operation.scope == "agent"
    hint = after_refusal(problem, msgspec.to_builtins(params), agent=agent)
    return Refused(error.problem, hint=hint, as_json=caller.form != "table")


def told(caller: Caller, operation: Operation, params: Struct, data: bytes) -> None:
    """Show an answer and, to an agent, what to run next."""
    from rollcall.cli.show import show

    result = json.loads(data)
    show(operation.name, result, caller.form)
    if operation.scope == "agent":
        note = sessions.settle(operation.name, getattr(params, "session", None) or "", caller.session_path)
        if note:
            click.echo(note, err=True)
        click.echo(f"next: {after(operation.name, msgspec.to_builtins(params), result)}", err=True)
    elif operation.name == "agent.add" and _must_join(params):
        hint = "it gets no work before it has joined; one that sends no heartbeats: --beats none"
        click.echo(f"note: {hint}", err=True)
    elif operation.name == "agent.set" and msgspec.to_builtins(params).get("endpoint_url"):
        hint = f"its pings are signed once it has a key; a new one: rollcall webhook rotate {result['name']}"
        click.echo(f"note: {hint}", err=True)
    elif result.get("next") is not None:
        click.echo(f"more: the same with --after {result['next']}", err=True)


def _must_join(params: Struct) -> bool:
    """Return whether an agent that was just added is given nothing before it is heard."""
    said = msgspec.to_builtins(params)
    return said.get("beats") != "none" and not said.get("endpoint_url")
