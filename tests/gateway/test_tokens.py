"""Tokens: their form, what is kept of them, how long they let anybody in."""

import json
import secrets
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from contracts import tokens
from contracts.tokens import ROLES, Role
from rollcall.cli.root import root
from tests.gateway.web import Web
from tests.support.nats import until

DAY_US = 86_400_000_000


@given(secret=st.binary(min_size=32, max_size=32), role=st.sampled_from(ROLES))
def test_a_token_is_known_by_its_looks(secret: bytes, role: Role) -> None:
    drawn = tokens.token(role, secret)
    assert tokens.well_formed(drawn)
    assert drawn.startswith(f"rcl_{role.replace('_', '')}_")
    assert drawn.startswith(tokens.prefix(drawn))
    assert len(tokens.prefix(drawn)) < 24
    for place in (5, len(drawn) // 2, len(drawn) - 1):
        wrong = drawn[:place] + ("0" if drawn[place] != "0" else "1") + drawn[place + 1 :]
        assert not tokens.well_formed(wrong)
    assert not tokens.well_formed(drawn + "\n")


@pytest.mark.parametrize("number", [0, 1, 31, 33])
def test_a_secret_has_its_length(number: int) -> None:
    with pytest.raises(ValueError, match=f"{number} bytes"):
        tokens.token("admin", b"x" * number)


def test_two_secrets_are_two_tokens() -> None:
    assert tokens.token("admin", b"\0" * 32) != tokens.token("admin", b"\0" * 31 + b"\1")
    assert tokens.token("agent", b"\xff" * 32).count("_") == 3


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Bearer",
        "Basic eDp5",
        "Bearer x",
        "Bearer rcl_admin_x_00000000",
        "Bearer " + "x" * 9_000,
    ],
)
async def test_whoever_is_not_known_hears_the_same(web: Web, said: str) -> None:
    client = await web.client("")
    unknown = tokens.token("admin", secrets.token_bytes(32))
    answers = [
        await client.get("/tasks", headers={"authorization": said}),
        await client.get("/tasks", headers={"authorization": f"Bearer {unknown}"}),
        await client.get(f"/tasks?token={await web.token('admin')}"),
        await client.get("/nothing"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].headers["www-authenticate"].startswith("Bearer")


async def test_a_token_of_the_same_beginning_is_not_the_same(web: Web) -> None:
    secret = secrets.token_bytes(32)
    near = tokens.token("admin", secret[:31] + bytes([secret[31] ^ 1]))
    kept = tokens.token("admin", secret)
    assert tokens.prefix(near) == tokens.prefix(kept)
    await web.world.operator(
        "token.create", name="one", scope="admin", prefix=tokens.prefix(kept), digest=tokens.digest(kept)
    )
    assert (await (await web.client(kept)).get("/tasks")).status_code == 200
    assert (await (await web.client(near)).get("/tasks")).status_code == 401


async def test_a_revoked_token_lets_nobody_in_within_a_second(web: Web) -> None:
    admin = await web.client()
    told = await web.caller("operator", name="ci")
    assert (await told.get("/tasks")).status_code == 200
    ended = await admin.delete("/tokens/CI")
    assert (ended.status_code, ended.json()["name"]) == (200, "ci")
    web.world.clock.move(web.world.clock.at + 999_999)
    assert (await told.get("/tasks")).status_code == 401
    assert (await admin.delete("/tokens/ci")).json() == ended.json()
    assert (await admin.delete("/tokens/nobody")).status_code == 404
    assert [one["name"] for one in (await admin.get("/tokens")).json()["items"]] == []
    assert [one["name"] for one in (await admin.get("/tokens?all=true")).json()["items"]] == ["ci"]
    events = [one["event"] for one in (await admin.get("/audit?aggregate=token&id=ci")).json()["items"]]
    assert events == ["created", "revoked"]


async def test_an_expired_token_lets_nobody_in(web: Web) -> None:
    told = await web.caller("read_only", days=1)
    assert (await told.get("/tasks")).status_code == 200
    web.world.clock.move(web.world.clock.at + DAY_US - 1)
    assert (await told.get("/tasks")).status_code == 200
    web.world.clock.move(web.world.clock.at + 600_000)
    assert (await told.get("/tasks")).status_code == 401
    assert (await (await web.client()).get("/tokens")).json()["items"] == []


def holding(folder: Path, text: bytes) -> list[str]:
    """Return the files in which the text stands."""
    return [path.name for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


async def test_what_is_kept_is_no_token(web: Web, tmp_path: Path) -> None:
    drawn = await web.token("operator", name="ci")
    told = await web.client(drawn)
    await told.post("/tasks", json={"title": "x"})
    await web.world.settle()
    secret = drawn.split("_")[2].encode()
    assert holding(tmp_path, tokens.prefix(drawn).encode())
    assert holding(tmp_path, secret) == []
    kept = web.world.rows("SELECT prefix, digest FROM tokens WHERE name = 'ci'")
    assert kept == [(tokens.prefix(drawn), bytes.fromhex(tokens.digest(drawn)))]


async def test_the_last_use_is_known(web: Web) -> None:
    told = await web.caller("operator", name="ci")
    await web.caller("operator", name="unused")
    await told.get("/tasks")
    await web.world.stop()
    uses = dict(web.world.rows("SELECT name, last_used_at FROM tokens"))
    assert uses == {"ci": web.world.clock.at, "unused": None}


async def test_a_name_is_used_once_and_an_agent_is_there(web: Web) -> None:
    admin = await web.client()
    drawn = tokens.token("agent", secrets.token_bytes(32))
    words = {"prefix": tokens.prefix(drawn), "digest": tokens.digest(drawn)}
    await web.world.agent("ann")
    cases = [
        ({"name": "a", "scope": "agent"}, 422),
        ({"name": "a", "scope": "admin", "agent": "ann"}, 422),
        ({"name": "a", "scope": "agent", "agent": "nobody"}, 404),
        ({"name": "a", "scope": "god"}, 422),
        ({"name": "a", "scope": "agent", "agent": "ANN"}, 201),
        ({"name": "A", "scope": "agent", "agent": "ann"}, 409),
    ]
    for said, status in cases:
        answer = await admin.post("/tokens", json=said | words)
        assert answer.status_code == status, answer.text
        if status == 422:
            assert all(answer.json()["fields"].values())
    for name in ("api", "API"):  # the name under which the token in the configuration acts
        answer = await admin.post("/tokens", json={"name": name, "scope": "read_only"} | words)
        assert answer.status_code == 422, answer.text
        assert answer.json()["fields"] == {"name": "is reserved"}
    bad = await admin.post("/tokens", json={"name": "b", "scope": "admin", "prefix": drawn, "digest": "00"})
    assert set(bad.json()["fields"]) == {"prefix", "digest"}
    assert drawn not in bad.text


async def test_the_command_line_draws_a_token_and_shows_it_once(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", web.world.nats.url)
    monkeypatch.setenv("ROLLCALL_OPERATOR", "olga")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = ["token", "create", "ci", "--scope", "read-only", "-o", "json"]
    made = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(root, words))
    assert made.exit_code == 0, made.output
    drawn = json.loads(made.stdout)["token"]
    assert drawn.startswith("rcl_readonly_")
    assert "shown this once" in made.stderr
    client = await web.client(drawn)
    await until(lambda: bool(web.world.rows("SELECT 1 FROM tokens")))
    assert (await client.get("/tasks")).status_code == 200
    assert (await client.post("/tasks", json={"title": "x"})).status_code == 403
    listed = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(root, ["token", "ls"]))
    assert drawn not in listed.output
    assert tokens.prefix(drawn) in listed.output


async def test_a_token_can_be_kept_in_a_file_and_is_shown_nowhere(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", web.world.nats.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "token"
    words = ["token", "create", "ci", "--scope", "read-only", "--to", str(file)]

    async def create() -> Result:
        return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(root, words))

    made = await create()
    drawn = file.read_text("utf-8").strip()
    assert made.exit_code == 0, made.output
    assert drawn not in made.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await (await web.client(drawn)).get("/tasks")).status_code == 200
    again = await create()
    assert (again.exit_code, file.read_text("utf-8").strip()) == (2, drawn)  # nothing is overwritten
    file.unlink()
    refused = await create()  # the name was used once
    assert refused.exit_code == 5, refused.output
    assert not file.exists()
