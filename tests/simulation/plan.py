"""What a seed decides: the house, the fleet, and which faults there are; each has its own mix (swarm)."""

import random
from typing import Literal

from msgspec import Struct

from domain.timers import Timers

Persona = Literal["prompt", "late", "silent", "moody", "mortal"]
STOPS_S = (0.5, 4.0, 12.0, 45.0)
SCALE = 1 / 60  # thirty minutes of a promise are thirty seconds, so that a tick is coarse beside it
FAULT_ODDS = 0.6  # of each fault to be on: a mix in which everything fails at once hides what one fault does
GAP_S = 6.0  # the hold gap, a TTL of the fleet's beats
BEAT_S = 2


class Faults(Struct, frozen=True, kw_only=True):
    """How often what goes wrong; 0 is never. Odds are per occasion, rates per second."""

    killed_at_commit: float = 0.0  # odds that a process dies with its commit done and nobody told
    killed_before_publish: float = 0.0
    killed_after_publish: float = 0.0  # stored on the bus, not yet confirmed in the store
    killed_anywhere: float = 0.0  # per step of the loop
    stopped: float = 0.0  # rate of SIGSTOP of a process
    all_down: float = 0.0  # rate of outages of all services, the bus up
    bus_down: float = 0.0
    cut_off: float = 0.0  # rate of one process losing its connection
    stream_lost: float = 0.0
    store_fails: float = 0.0  # odds per transaction: nothing was written
    lost: float = 0.0  # odds of a core message
    delayed: float = 0.0
    doubled: float = 0.0
    puback_lost: float = 0.0
    redelivered: float = 0.0  # rate at which the consumer forgets its latest acks
    stopped_in_hand: float = 0.0  # odds of SIGSTOP with a batch in hand, which is read and not yet sent


MOST = Faults(
    killed_at_commit=0.01,
    killed_before_publish=0.02,
    killed_after_publish=0.02,
    killed_anywhere=0.00008,
    stopped=0.02,
    all_down=0.008,
    bus_down=0.01,
    cut_off=0.015,
    stream_lost=0.006,
    store_fails=0.01,
    lost=0.05,
    delayed=0.1,
    doubled=0.05,
    puback_lost=0.03,
    redelivered=0.05,
    stopped_in_hand=0.02,
)


class Member(Struct, frozen=True):
    """One agent of the fleet."""

    name: str
    persona: Persona
    beats: bool
    capacity: int
    by_request: float  # share of its answers that ask for the outcome, the others are stored on the bus


class Plan(Struct, frozen=True, kw_only=True):
    """All that a seed decides before the first step."""

    seed: int
    processes: tuple[tuple[str, ...], ...]  # the services of each
    fleet: tuple[Member, ...]
    steps: tuple[str, ...]  # of the policy
    tasks_per_s: float
    aligned: bool  # whether all processes tick at the same instants
    shuffled: bool
    safety_s: float
    faults: Faults
    timers: Timers
    words_per_s: float = 0.0  # rate at which an operator flags agents, or freezes the fleet for a while

    def told(self) -> str:
        """Say it in a line."""
        faults = [
            f"{name}={value:g}" for name in Faults.__struct_fields__ if (value := getattr(self.faults, name))
        ]
        people = " ".join(f"{who.name}:{who.persona}{'' if who.beats else '*'}" for who in self.fleet)
        houses = " | ".join("+".join(services) for services in self.processes)
        return (
            f"seed {self.seed}: {houses}; {people}; policy {'>'.join(self.steps)}; "
            f"{'aligned' if self.aligned else 'jittered'} ticks; {self.tasks_per_s:.2f} tasks/s for "
            f"{self.safety_s:.0f} s; {' '.join(faults) or 'no faults'}"
        )


ALL = ("assigner", "pinger", "escalator", "monitor", "cleanup", "relay")
HOUSES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (ALL,),
    (ALL, ALL),
    (ALL, ("pinger", "escalator")),
    (("assigner", "monitor", "cleanup", "relay"), ("pinger",), ("escalator",), ("pinger", "escalator")),
    (ALL, ALL, ALL),
)
PERSONAS: tuple[Persona, ...] = ("prompt", "late", "silent", "moody", "mortal")
POLICIES = (
    ("main",),
    ("peer", "main"),
    ("retry", "peer", "main"),
    ("retry", "notify", "main"),
    ("peer", "peer"),
)


def plan(seed: int) -> Plan:
    """Return what this seed decides."""
    dice = random.Random(f"plan {seed}")
    fleet = tuple(_member(dice, number) for number in range(dice.randint(1, 7)))
    return Plan(
        seed=seed,
        processes=dice.choice(HOUSES),
        fleet=(Member("Ruto", dice.choice(("prompt", "late", "moody", "silent")), False, 10, 0.5), *fleet),
        steps=dice.choice(POLICIES),
        tasks_per_s=dice.uniform(0.05, 0.3),
        aligned=dice.random() < 0.5,
        shuffled=dice.random() < 0.8,
        safety_s=dice.uniform(90, 200),
        faults=Faults(
            **{
                name: getattr(MOST, name) * dice.uniform(0.3, 1.0) if dice.random() < FAULT_ODDS else 0.0
                for name in Faults.__struct_fields__
            }
        ),
        timers=Timers().scaled(SCALE),
        words_per_s=dice.uniform(0.03, 0.15) if dice.random() < FAULT_ODDS else 0.0,
    )


def _member(dice: random.Random, number: int) -> Member:
    persona = dice.choices(PERSONAS, weights=(3, 3, 1, 3, 1))[0]
    return Member(f"a{number}", persona, dice.random() < 0.5, dice.choice((1, 1, 2, 3)), dice.random())
