"""Secrets stand nowhere but where they belong: canaries are planted, doors used, and all is searched."""

from __future__ import annotations

import base64
import os
import re
import secrets
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import httpx
import pytest

from contracts import tokens
from tests.gateway.test_listening import address
from tests.support import certificate
from tests.support.processes import Program, environment, up

STATE = {".db", ".db-wal", ".db-shm", ".creds", ".nk", ".blk"}


def commands(pid: int) -> str:
    """Return what `ps` shows of a process and of all that it has started."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and (place / "stat").exists():
            words = (place / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            parents.setdefault(int(words[1]), []).append(int(place.name))
    found, ahead = "", [pid]
    while ahead:
        one = ahead.pop()
        ahead += parents.get(one, [])
        found += Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def cli(state: Path, *words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    named = {name.replace("__", "."): value for name, value in settings.items()}
    env = environment(state, {"nats.open": "false"} | named) | {"ROLLCALL_OPERATOR": "olga"}
    line = [sys.executable, "-m", "rollcall", *words]
    return subprocess.run(line, cwd=state, env=env, check=False, capture_output=True, text=True)


async def provoke(url: str, canaries: dict[str, str]) -> list[str]:
    """Say each secret wherever it does not belong, and return all that was answered."""
    said: list[str] = []
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20) as client:
        for name, canary in canaries.items():
            client.headers["authorization"] = f"Bearer {canaries['configured']}"
            key = {"idempotency-key": f"k-{name}"}
            for answer in (
                await client.get(f"/tasks?token={canary}"),
                await client.post("/tasks", content=f'{{"title": "{canary}', headers=key),
                await client.post(
                    "/tokens", json={"name": "x", "scope": "admin", "prefix": canary, "digest": canary}
                ),
                await client.get("/tasks", headers={"authorization": f"Bearer {canary}x"}),
                await client.get("/tasks", headers={"authorization": f"Basic {canary}"}),
                await client.get("/events", headers={"last-event-id": canary}),
                await client.request("BREW", "/tasks", headers={"cookie": canary}),
            ):
                said += [str(answer.headers), answer.text]
        client.headers["authorization"] = f"Bearer {canaries['configured']}"
        audit = await client.get("/audit?limit=500")
        listed = await client.get("/tokens?all=true")
        assert (audit.status_code, listed.status_code) == (200, 200)
        said += [audit.text, listed.text]
    return said


async def test_no_secret_is_where_it_does_not_belong(tmp_path: Path) -> None:
    configured = f"canary-{secrets.token_hex(16)}"
    async with up(tmp_path, {"http.token": configured, "log.level": "debug"}) as program:
        url = await address(program)
        made = await anyio.to_thread.run_sync(
            cli, tmp_path, "token", "create", "ci", "--scope", "operator", "--to", "ci.token"
        )
        assert made.returncode == 0, made.stderr
        drawn = (tmp_path / "ci.token").read_text("utf-8").strip()
        canaries = {"configured": configured, "drawn": drawn}
        answers = await provoke(url, canaries)
        shown = await anyio.to_thread.run_sync(cli, tmp_path, "config", "show", "-o", "json")
        listed = await anyio.to_thread.run_sync(cli, tmp_path, "token", "ls", "--all")
        ps = await anyio.to_thread.run_sync(commands, program.process.pid)
        await crash(program)
    (tmp_path / "ci.token").unlink()
    logged = "".join(program.said)
    elsewhere = {
        "the log": logged,
        "ps": ps,
        "the command line": f"{made.stdout}{made.stderr}{listed.stdout}{shown.stdout}{shown.stderr}",
    }
    for name, canary in canaries.items():
        secret = canary.split("_")[2] if name == "drawn" else canary
        assert [place for place, text in elsewhere.items() if secret in text] == []
        assert [text for text in answers if secret in text] == []
        assert holding(tmp_path, secret.encode()) == []
    wrong = open_to_others(tmp_path)
    assert wrong == []


async def test_keys_stand_where_they_are_used_and_nowhere_else(tmp_path: Path) -> None:
    """The key of an agent's credentials is in its file alone, that of its webhook in the store alone."""
    configured = f"canary-{secrets.token_hex(16)}"
    whole, told = base64.b64encode(secrets.token_bytes(32)).decode(), secrets.token_hex(16)
    settings = {"http.token": configured, "log.level": "debug", "nats.open": "false"}
    addresses = {"watch.deadman_url": f"http://127.0.0.1:1/{told}"}
    async with up(tmp_path, settings | addresses) as program:
        url = await address(program)
        made = await anyio.to_thread.run_sync(cli, tmp_path, "agent", "add", "ann")
        assert made.returncode == 0, made.stderr
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20) as admin:
            admin.headers["authorization"] = f"Bearer {configured}"
            answers = [
                await admin.post("/agents/ann/webhook-key", json={"key": f"whsec_{whole}"}),
                await admin.post("/agents/ann/webhook-key", json={"key": f"whsec_{whole}", "keep_hours": -1}),
                await admin.post("/agents/bob/webhook-key", json={"key": f"whsec_{whole}"}),
                await admin.get("/agents/ann"),
                await admin.get("/audit?limit=500"),
            ]
        assert [answer.status_code for answer in answers] == [200, 422, 404, 200, 200]
        ps = await anyio.to_thread.run_sync(commands, program.process.pid)
        await crash(program)
    file = tmp_path / "creds/ann.creds"
    seed = seed_in(file)
    said = ps + made.stdout + made.stderr + "".join([*program.said, *(answer.text for answer in answers)])
    assert [secret for secret in (seed, whole, told) if secret in said] == []
    assert holding(tmp_path, seed.encode()) == [str(file)]
    assert {Path(name).name.partition("-")[0] for name in holding(tmp_path, whole.encode())} <= {
        "rollcall.db"
    }
    assert holding(tmp_path, told.encode()) == []


async def test_the_keys_of_the_house_stand_in_its_folder_and_nowhere_else(tmp_path: Path) -> None:
    """Also while they are replaced and services elsewhere get theirs, on a bus that speaks TLS."""
    state, out = tmp_path / "state", tmp_path / "out"
    (tmp_path / "tls").mkdir()
    out.mkdir()
    chain, key = certificate.write(tmp_path / "tls")
    settings = {"nats.certificate": chain, "nats.key": key, "log.level": "debug", "nats.open": "false"}
    async with up(state, settings) as program:
        before = keys_in(state)
        told = [
            await anyio.to_thread.run_sync(cli, state, *words.split())
            for words in (
                f"identity creds pinger --to {out / 'pinger.creds'}",
                f"credential create zoe --holder read-only --creds {out / 'zoe.creds'}",
                f"status --operator zoe --creds {out / 'zoe.creds'}",
                f"status --creds {out / 'pinger.creds'} --timeout 0.2",  # refused
                "identity rotate pinger agent",
                "identity server nats://127.0.0.1:1",
                "audit ls -o json",
            )
        ]
        assert [one.returncode for one in told] == [0, 0, 0, 4, 0, 0, 0]
        ps = await anyio.to_thread.run_sync(commands, program.process.pid)
        await crash(program)
    given = {path: seed_in(path) for path in out.iterdir()}
    now = keys_in(state)
    assert set(before) == set(now)
    said = ps + "".join([*program.said, *(one.stdout + one.stderr for one in told)])
    secret_key = key.read_text("ascii").splitlines()[1]
    found = {*before.values(), *now.values(), *given.values(), secret_key}
    assert len(found) == len(now) + 2 + 2 + 1  # two roles have new ones
    assert [one for one in found if one in said] == []
    for path, seed in (now | given | {key: secret_key}).items():
        assert holding(tmp_path, seed.encode()) == [str(path)]
    for seed in set(before.values()) - set(now.values()):
        assert holding(tmp_path, seed.encode()) == []
    assert open_to_others(state) == []
    assert not any(path.stat().st_mode & 0o077 for path in given)


def keys_in(state: Path) -> dict[Path, str]:
    """Return the seeds of the house by their files."""
    return {path: path.read_text("ascii").strip() for path in (state / "identity").rglob("*.nk")}


def seed_in(path: Path) -> str:
    """Return the seed in a file of credentials."""
    (found,) = re.findall(r"^SU[A-Z0-9]{50,}$", path.read_text("utf-8"), re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("words", ["config show", "status", "doctor"])
def test_the_password_in_an_address_is_not_shown(tmp_path: Path, words: str) -> None:
    password = secrets.token_hex(16)
    told = cli(tmp_path, *words.split(), nats__url=f"nats://olga:{password}@127.0.0.1:1")
    assert "127.0.0.1:1" in told.stdout + told.stderr
    assert password not in told.stdout + told.stderr


async def crash(program: Program) -> None:
    """End it as a crash does."""
    program.process.kill()
    await program.ended()


def holding(folder: Path, text: bytes) -> list[str]:
    """Return the files that hold it; those of a bus that is just ending may vanish."""
    found: list[str] = []
    for place, _, names in os.walk(folder):  # which goes on where a file or a folder has just gone
        for path in map(Path(place).joinpath, names):
            with suppress(FileNotFoundError):
                if path.is_file() and text in path.read_bytes():
                    found.append(str(path))
    return found


def open_to_others(folder: Path) -> list[str]:
    """Return the files of state that others may read."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix in STATE]
    assert files
    return [str(path) for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077]


@pytest.mark.parametrize("mask", [0o000, 0o022])
async def test_files_are_ours_alone_whatever_the_mask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        async with up(tmp_path, {"http.token": "sesame-open-sesame"}) as program:
            await address(program)
            wrong = open_to_others(tmp_path)
            await program.stop()
    finally:
        os.umask(before)
    assert wrong == []


def test_a_token_on_the_command_line_is_no_option(tmp_path: Path) -> None:
    drawn = tokens.token("admin", secrets.token_bytes(32))
    told = cli(tmp_path, "task", "ls", "--token", drawn)
    assert told.returncode == 2
    assert drawn not in told.stdout
