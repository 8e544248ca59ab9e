"""Where webhooks may go: forms that trick a reader, networks not to be asked, what an operator allows."""

import ipaddress

import pytest

from contracts.errors import InvalidError
from contracts.operations.agents import AddParams, SetParams
from domain import agents
from domain.addresses import Place, Reach, place, refusal
from tests.domain.world import World

OPEN = Reach(http=True, ports=(80, 443, 4222, 8000))
TRICKS = [
    "http://127.0.0.1/",
    "http://localhost:8000/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://017700000001/",
    "http://127.1/",
    "http://0/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1%25eth0]/",
    "http://[fd00::1]/",
    "http://169.254.169.254/latest/",
    "http://100.64.0.1/",
    "http://192.0.0.8/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://user@127.0.0.1@evil.com/",
    "http://127.0.0.1#@evil.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:4222/_PUB",
    "nats://127.0.0.1:4222",
    "http://1.1.1.1\\@127.0.0.1/",
    "http://LOCALHOST./",
    "http://①②⑦.⓪.⓪.①/",
    "http:///path",
    # and beside those of the well-known list
    "http://[::127.0.0.1]/",
    "http://[2001:0:7f00:1::]/",
    "http://[::]/",
    "http://[1::2::3]/",
    "http://127.0.0.1./",
    "http://0x7f.1/",
    "http://00.0.0.0/",
    "http://app.localhost/",
    "http://168.63.129.16/",
    "http://255.255.255.255/",
    "http://user:pass@8.8.8.8/",
    "http://8.8.8.8/?next=1",
    "http://8.8.8.8/#x",
    "http://8.8.8.8/a b",
    "http://8.8.8.8/\r\nHost: x",
    "http://8.8.8.8:99999/",
    "http://8.8.8.8:443:80/",
    "http://a..b/",
    "http://-a.example/",
    "http://example.com%2f@8.8.8.8/",
    "http://8.8.8.8/" + "a" * 2_000,
    "",
]


@pytest.mark.parametrize("url", TRICKS)
def test_no_form_of_an_address_gets_past_the_reader(url: str) -> None:
    with pytest.raises(InvalidError) as refused:
        place(url, OPEN)
    assert list(refused.value.fields) == ["endpoint_url"]


def test_a_public_address_is_read_as_it_is_written() -> None:
    assert place("http://8.8.8.8/", OPEN) == Place(
        secure=False, host="8.8.8.8", port=80, path="/ping", known="8.8.8.8"
    )
    named = place("https://Agents.example/hooks/one/", Reach())
    assert (named.host, named.port, named.path, named.known) == (
        "agents.example",
        443,
        "/hooks/one/ping",
        None,
    )
    assert (named.authority, place("https://a.example:8443", Reach()).authority) == (
        "agents.example",
        "a.example:8443",
    )
    assert place("http://[2606:4700::1111]:8000/x", OPEN).authority == "[2606:4700::1111]:8000"
    assert place("http://[64:ff9b::808:808]/", OPEN).known == "64:ff9b::808:808"


def test_http_ports_and_networks_of_ones_own_are_an_operators_word() -> None:
    with pytest.raises(InvalidError, match=r"webhooks\.http"):
        place("http://8.8.8.8/", Reach())
    with pytest.raises(InvalidError, match=r"webhooks\.ports"):
        place("https://8.8.8.8:4222/", Reach())
    with pytest.raises(InvalidError, match=r"webhooks\.allow"):
        place("https://10.1.2.3/", Reach(allow=("10.2.0.0/16",)))
    own = Reach(http=True, allow=("10.0.0.0/8", "127.0.0.0/8", "fd00::/8"), ports=(9000,))
    for url in (
        "http://10.1.2.3:9000",
        "http://localhost:9000/",
        "http://[fd00::1]:9000",
        "http://[::ffff:10.0.0.1]:9000",
    ):
        assert place(url, own).port == 9000
    assert place("http://localhost:9000", own).known == "127.0.0.1"
    with pytest.raises(InvalidError):
        place("http://[::1]:9000", own)


def test_each_address_of_a_name_is_judged() -> None:
    said = {
        text: refusal(ipaddress.ip_address(text), Reach())
        for text in ("1.1.1.1", "2606:4700::1", "::1", "10.0.0.1")
    }
    assert (said["1.1.1.1"], said["2606:4700::1"]) == (None, None)
    assert said["::1"] is not None
    assert said["10.0.0.1"] is not None


def test_an_agent_is_not_registered_at_an_address_that_is_refused() -> None:
    world = World()
    with pytest.raises(InvalidError):
        world.operate(agents.add, AddParams(name="a1", endpoint_url="https://127.0.0.1/"))
    assert "a1" not in world.agents
    world.operate(agents.add, AddParams(name="a1", endpoint_url="https://agent.example"))
    with pytest.raises(InvalidError):
        world.operate(agents.set_agent, SetParams(name="a1", endpoint_url="https://[::1]/"))
    assert world.agents["a1"].endpoint_url == "https://agent.example"
    world.operate(agents.set_agent, SetParams(name="a1", endpoint_url=""))
    assert world.agents["a1"].endpoint_url is None
