"""Where pings go, and whose they are: addresses at connect, certificates, signatures, keys."""

import base64
import json
import secrets
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from contracts.deliveries import KEY_BYTES, key_bytes, key_of
from domain.addresses import Reach
from domain.deliveries import Patience
from services.courier.breaker import FAILURES, OPEN_S, Breaker
from tests.courier.post import open_post
from tests.courier.receiver import Receiver, receiver, status
from tests.support.asking import Refused

ONCE = Patience(tries=1)


@pytest.fixture
async def ear() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


class Names:
    """A resolver that says something else each time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1%lo"],
)
async def test_a_name_that_stands_for_what_is_ours_is_refused_at_connect(
    tmp_path: Path, ear: Receiver, address: str
) -> None:
    """Also when it was public before, and when only one of its addresses is not."""
    names = Names(["8.8.8.8", address])
    reach = Reach(http=True, ports=(ear.port,))
    async with open_post(tmp_path, resolve=names, reach=reach, patience=ONCE) as post:
        await post.agent("builder", f"http://agent.example:{ear.port}")
        await post.task("ship it", "builder")
        await post.until_over()
        (seen,) = await post.deliveries()
        assert (seen.state, names.asked, ear.got) == ("failed", 1, [])
        assert "no public address" in seen.why


async def test_the_address_that_was_judged_is_the_one_that_is_asked(tmp_path: Path, ear: Receiver) -> None:
    """A second answer of the resolver would lead elsewhere: it is not asked for."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with open_post(tmp_path, ear.port, resolve=names) as post:
        await post.agent("builder", f"http://agent.example:{ear.port}/in")
        await post.task("ship it", "builder")
        await post.until_over()
        assert (names.asked, ear.got[0].headers["host"]) == (1, f"agent.example:{ear.port}")
        assert ear.got[0].line == "POST /in/ping HTTP/1.1"


async def test_what_was_allowed_once_is_judged_again(tmp_path: Path, ear: Receiver) -> None:
    async with open_post(tmp_path, ear.port) as post:
        await post.agent("builder", ear.url)
    strict = Reach(http=True, ports=(ear.port,))
    async with open_post(tmp_path, ear.port, reach=strict, patience=ONCE) as post:
        with pytest.raises(Refused, match=r"webhooks\.allow"):
            await post.agent("other", ear.url)
        await post.task("ship it", "builder")
        await post.until_over()
        (seen,) = await post.deliveries()
        assert (seen.state, ear.got) == ("failed", [])
        assert "webhooks.allow" in seen.why


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return a certificate of agent.example, which signs itself, and its key."""
    key, found = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-keyout", str(key), "-out", str(found), "-days", "2"),
            *("-subj", "/CN=agent.example", "-addext", "subjectAltName=DNS:agent.example"),
        ],
        check=True,
        capture_output=True,
    )
    return found, key


@pytest.mark.parametrize(("host", "state"), [("agent.example", "delivered"), ("other.example", "failed")])
async def test_over_tls_the_name_has_to_be_its_own(
    tmp_path: Path, certificate: tuple[Path, Path], host: str, state: str
) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*certificate)

    def trust() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=certificate[0])

    names = Names(["127.0.0.1"])
    async with (
        receiver(serving) as ear,
        open_post(tmp_path, ear.port, resolve=names, trust=trust, patience=ONCE) as post,
    ):
        await post.agent("builder", f"https://{host}:{ear.port}")
        await post.task("ship it", "builder")
        await post.until_over()
        (seen,) = await post.deliveries()
        assert seen.state == state
        assert seen.why == "" or "not valid for 'other.example'" in seen.why


async def test_a_ping_is_signed_with_two_keys_while_they_change(tmp_path: Path, ear: Receiver) -> None:
    old, new = (key_of(secrets.token_bytes(KEY_BYTES)) for _ in range(2))
    async with open_post(tmp_path, ear.port, start=int(time.time()) * 1_000_000) as post:
        await post.agent("builder", ear.url, capacity=9)
        await post.world.operator("webhook.rotate", name="builder", key=old)
        for number, step in enumerate(("first", "rotated", "settled")):
            if step == "rotated":
                said = await post.world.operator("webhook.rotate", name="BUILDER", key=new, keep_hours=1)
                assert said.previous_until is not None
            if step == "settled":
                said = await post.world.operator("webhook.settle", name="builder")
                assert said.previous_until is None
            await post.task(step, "builder")
            await post.until(lambda count=number: len(ear.got) > count)  # type: ignore[misc]
        first, rotated, settled = ear.got
        for got, good, bad in ((first, [old], [new]), (rotated, [old, new], []), (settled, [new], [old])):
            for key in good:
                assert Webhook(key).verify(got.raw, got.headers) == got.body
            for key in bad:
                with pytest.raises(WebhookVerificationError):
                    Webhook(key).verify(got.raw, got.headers)
        for name in ("webhook-id", "webhook-timestamp"):
            with pytest.raises(WebhookVerificationError):
                Webhook(old).verify(first.raw, first.headers | {name: first.headers[name] + "1"})
        with pytest.raises(WebhookVerificationError):
            Webhook(old).verify(first.raw + b" ", first.headers)
        # what stands anywhere but among the keys, and what was said to anybody
        told = json.dumps([heard.body for heard in post.world.heard if heard.subject.startswith("evt.")])
        audit = str(post.world.rows("SELECT * FROM audit")) + str(post.world.rows("SELECT * FROM commands"))
        assert post.world.events("key_rotated")
        for key in (old, new):
            for form in (key, base64.b64decode(key[6:]).hex()):
                assert form not in told + audit


async def test_the_first_ping_is_signed_with_the_key_of_the_registration(
    tmp_path: Path, ear: Receiver
) -> None:
    key = key_of(secrets.token_bytes(KEY_BYTES))
    async with open_post(tmp_path, ear.port, start=int(time.time()) * 1_000_000) as post:
        await post.agent("builder", ear.url, webhook_key=key)
        await post.task("first", "builder")
        await post.until_over()
        assert Webhook(key).verify(ear.got[0].raw, ear.got[0].headers) == ear.got[0].body
        said = json.dumps([heard.body for heard in post.world.heard if heard.subject.startswith("evt.")])
        assert key not in said + str(post.world.rows("SELECT * FROM audit"))
        assert key not in str(post.world.rows("SELECT * FROM commands"))
        with pytest.raises(Refused, match="invalid"):
            await post.world.operator("agent.add", name="ann", webhook_key=key)
        with pytest.raises(Refused, match="invalid"):
            await post.agent("bob", ear.url, webhook_key=key + "=")


async def test_the_present_key_said_again_is_no_new_one(tmp_path: Path) -> None:
    """Whoever repeats a rotation under another command id has not ended the key that it replaces."""
    async with open_post(tmp_path) as post:
        old, new = (key_of(secrets.token_bytes(KEY_BYTES)) for _ in range(2))
        await post.world.agent("builder")
        await post.world.operator("webhook.rotate", name="builder", key=old)
        said = await post.world.operator("webhook.rotate", name="builder", key=new, keep_hours=1)
        again = await post.world.operator("webhook.rotate", name="builder", key=new, keep_hours=0)
        assert again == said
        assert again.previous_until is not None
        await post.world.settle()
        assert len(post.world.events("key_rotated")) == 2


async def test_a_key_is_an_agents_and_has_its_form(tmp_path: Path) -> None:
    async with open_post(tmp_path) as post:
        key = key_of(secrets.token_bytes(KEY_BYTES))
        with pytest.raises(Refused, match="not_found"):
            await post.world.operator("webhook.rotate", name="nobody", key=key)
        await post.world.agent("builder")
        for wrong in ("whsec_short", "x" * 50, key + "="):
            with pytest.raises(Refused, match="invalid"):
                await post.world.operator("webhook.rotate", name="builder", key=wrong)
        with pytest.raises(Refused, match="not_found"):
            await post.world.operator("webhook.settle", name="builder")
        await post.world.operator("webhook.rotate", name="builder", key=key)
        assert (await post.world.operator("webhook.settle", name="builder")).previous_until is None
        again = await post.world.operator("webhook.rotate", name="builder", key=key)
        assert again.previous_until is None  # the same key is not two


def test_a_key_is_read_whole_or_not_at_all() -> None:
    drawn = secrets.token_bytes(KEY_BYTES)
    key = key_of(drawn)
    assert key_bytes(key) == drawn
    for wrong in (key + "\n", key + "x", f"x{key}", key.removeprefix("whsec_"), f"{key},{key}"):
        assert key_bytes(wrong) is None


def test_who_failed_often_is_left_alone_for_longer_each_time() -> None:
    breaker = Breaker()
    for number in range(FAILURES):
        assert not breaker.is_open("a", 0.0), number
        breaker.failed("a", 0.0)
    assert breaker.is_open("a", OPEN_S - 1)
    assert not breaker.is_open("b", 0.0)
    assert not breaker.is_open("a", OPEN_S)  # one is let through
    breaker.failed("a", OPEN_S)
    assert breaker.is_open("a", OPEN_S * 3 - 1)
    breaker.worked("a")
    assert not breaker.is_open("a", OPEN_S)


async def test_who_is_left_alone_costs_no_connection(tmp_path: Path, ear: Receiver) -> None:
    ear.answer = status(204)
    async with open_post(tmp_path, ear.port, patience=Patience(tries=9, retry_us=1_000_000)) as post:
        await post.agent("builder", ear.url)
        await post.task("ship it", "builder")
        await post.until(lambda: "left alone" in post.world.rows("SELECT why FROM deliveries")[0][0])
        assert len(ear.got) == FAILURES
        await post.until_over()
        assert len(ear.got) > FAILURES
