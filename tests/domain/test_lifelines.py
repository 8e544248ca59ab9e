"""Every change of an agent's status that can happen is found, and no other."""

from typing import get_args

from contracts.records import AgentStatus
from domain.lifelines import arrows


def test_every_status_is_reached_and_every_arrow_has_an_event() -> None:
    found = arrows()
    assert {after for _, after in found} == set(get_args(AgentStatus))
    assert all(found.values())
    assert ("offline", "dead") in found
    assert ("dead", "working") in found
    assert ("offline", "suspect") not in found
