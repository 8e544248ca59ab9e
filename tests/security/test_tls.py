"""TLS on the bus: spoken where there is a certificate, needed beyond this machine, and never left out."""

import ssl
from pathlib import Path

import pytest

from bus.api import BusUnavailable
from bus.client import Access, connect
from bus.embedded import EmbeddedServer, Listening
from rollcall.client import Agent, Unavailable
from rollcall.config import ConfigError
from rollcall.credentials import context
from rollcall.settings import Nats, Settings, Tls
from rollcall.wiring import check_bus
from tests.security.site import Site, ask, in_site, rollcall
from tests.support import certificate
from tests.support.nats import until
from tests.support.processes import up

FILE = Path(__file__)


def pair(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True)
    return certificate.write(folder)


async def test_the_bus_speaks_tls_where_it_has_a_certificate(tmp_path: Path) -> None:
    chain, key = pair(tmp_path / "own")
    wrong, _ = pair(tmp_path / "foreign")
    own = {"nats.certificate": chain, "nats.key": key, "nats.host": "0.0.0.0"}
    async with up(tmp_path / "state", own), in_site(tmp_path / "state") as site:
        # whoever is at home here needs no word of it
        await rollcall(site, "agent", "add", "ann", "--beats", "none")
        creds = site.folder / "creds/ann.creds"
        trusting = {"tls": ssl.create_default_context(cafile=str(chain))}
        async with Agent("ann", url=site.url, creds=creds, options=trusting, patience_s=5) as ann:
            await ann.sync()
            await rollcall(site, "agent", "revoke", "ann")  # the server hears of it over TLS, too
            await until(lambda: not ann._line.connected)
        far = Site(tmp_path / "elsewhere")
        far.folder.mkdir()
        await rollcall(
            site, "credential", "create", "zoe", "--holder", "admin", "--creds", str(far.folder / "z")
        )
        there = ("agent", "ls", "--nats-url", site.url, "--creds", str(far.folder / "z"))
        for ca, code, word in ((chain, 0, ""), (wrong, 69, "certificate"), (tmp_path, 78, f"{tmp_path}: ")):
            told = await ask(far, *there, settings={"nats.tls.ca": ca})
            assert (told[0], word in told[1]) == (code, True), told
        assert (await ask(far, *there))[0] == 69  # not one of those whom the system trusts


async def test_nothing_is_said_in_the_clear_where_tls_was_asked_for(tmp_path: Path) -> None:
    """Whoever stands between could leave out the offer of the server."""
    chain, key = pair(tmp_path / "own")
    server = EmbeddedServer(tmp_path / "state", durability="relaxed")
    await server.start()
    try:
        trusting = ssl.create_default_context(cafile=str(chain))
        with pytest.raises(BusUnavailable, match="does not speak TLS"):
            await connect(server.url, name="t", access=Access(tls=trusting), timeout_s=1)
        with pytest.raises(Unavailable, match="does not speak TLS"):
            await Agent("ann", url=server.url, options={"tls": trusting}, patience_s=1).__aenter__()
        far = Site(tmp_path)
        told = await ask(far, "status", "--nats-url", server.url, settings={"nats.tls.ca": chain})
        assert (told[0], "does not speak TLS" in told[1]) == (69, True), told
    finally:
        await server.stop()
    listening = Listening(certificate=chain, key=key)
    server = EmbeddedServer(tmp_path / "state", durability="relaxed", listening=listening)
    await server.start()
    try:
        with pytest.raises(BusUnavailable, match="CERTIFICATE_VERIFY_FAILED"):  # at once: it gets no better
            await connect(server.url, name="t", timeout_s=60)
        client = await connect(server.url, name="t", access=Access(tls=trusting), timeout_s=5)
        await client.close()
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("nats", "word"),
    [
        (Nats(host="0.0.0.0"), "nats.certificate and nats.key"),
        (Nats(host="bus.example"), "a certificate only"),
        (Nats(host="0.0.0.0", certificate=FILE, key=FILE, open=True), "stays on this machine"),
        (Nats(certificate=FILE), "both are needed"),
        (Nats(tls=Tls(key=FILE)), "nats.tls.certificate and nats.tls.key: both"),
        (Nats(certificate=FILE, key=Path("/nowhere")), "there is no file /nowhere"),
    ],
)
def test_other_machines_are_listened_to_with_a_certificate_only(nats: Nats, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        check_bus(Settings(nats=nats))


@pytest.mark.parametrize(
    "nats",
    [
        Nats(),
        Nats(host="::1", open=True),
        Nats(host="0.0.0.0", certificate=FILE, key=FILE),
        Nats(host="0.0.0.0", url="nats://h:1"),
    ],
)
def test_what_is_safe_is_allowed(nats: Nats) -> None:
    check_bus(Settings(nats=nats))


def test_who_is_trusted_is_read_from_files(tmp_path: Path) -> None:
    chain, key = pair(tmp_path / "own")
    url = "nats://bus.example:4222"
    settings = Settings(state_dir=tmp_path, nats=Nats(tls=Tls(ca=chain, certificate=chain, key=key)))
    found = context(settings, url)
    assert found is not None
    assert found.check_hostname
    assert context(Settings(state_dir=tmp_path), url) is None
    with pytest.raises(ConfigError, match=r"nats\.tls: .*test_tls"):
        context(Settings(state_dir=tmp_path, nats=Nats(tls=Tls(ca=FILE))), url)


def test_where_a_bus_is_reached_from_here() -> None:
    assert [Listening(host).near for host in ("0.0.0.0", "::", "::1", "10.0.0.5")] == [
        "127.0.0.1",
        "[::1]",
        "[::1]",
        "10.0.0.5",
    ]
    assert Listening("::1").config(7) == ['listen: "[::1]:7"']
