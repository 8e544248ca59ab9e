"""What goes wrong, when, and how often each hard moment really came."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Final

from bus.memory.weather import AT_ONCE, Hop
from tests.simulation.plan import STOPS_S, Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.house import Moment, SimHouse

DOUBLE_OWNERS: Final = (
    "SELECT task_id FROM assignments WHERE ended_at IS NULL GROUP BY task_id HAVING count(*) > 1"
)
DEATHS: Final = {
    "step": "killed anywhere",
    "committed": "killed with the commit done",
    "before_publish": "killed between commit and PubAck",
    "published": "killed between PubAck and confirm",
}
DELAY_S_MAX: Final = 2.5
CORE_HOPS: Final = ("publish", "deliver")


class DrawnFate:
    """Draws from the seed what befalls processes, messages and transactions; calm once the end begins."""

    def __init__(self, plan: Plan, dice: random.Random) -> None:
        """Begin calm: the house has to be there first."""
        self.faults = plan.faults
        self.dice = dice
        self.rough = False
        self.counts: Counter[str] = Counter()
        self.breaches: list[str] = []

    def struck(self, odds: float) -> bool:
        """Tell whether something of these odds happens now."""
        return self.rough and odds > 0 and self.dice.random() < odds

    def dies(self, house: SimHouse, moment: Moment) -> bool:
        """Tell whether the process dies at this moment."""
        odds = {
            "step": self.faults.killed_anywhere,
            "committed": self.faults.killed_at_commit,
            "before_publish": self.faults.killed_before_publish,
            "published": self.faults.killed_after_publish,
        }[moment]
        if not house.alive or not self.struck(odds):
            return False
        self.counts[DEATHS[moment]] += 1
        return True

    def stopped_s(self) -> float:
        """Return for how many seconds the process is stopped with a batch in hand; 0: it is not."""
        if not self.struck(self.faults.stopped_in_hand):
            return 0.0
        self.counts["stopped between a look and its publishing"] += 1
        return self.dice.choice(STOPS_S)

    def store_fails(self) -> bool:
        """Tell whether a transaction fails, with nothing written."""
        failed = self.struck(self.faults.store_fails)
        self.counts["store failed"] += failed
        return failed

    def committed(self, house: SimHouse, connection: sqlite3.Connection) -> None:
        """Look at the file after a commit: two owners would be two too many even for an instant."""
        for (task,) in connection.execute(DOUBLE_OWNERS):
            self.breaches.append(
                f"one_owner: task {task} has two open assignments after a commit of {house.name}"
            )

    def fate(self, hop: Hop, subject: str, peer: str) -> Sequence[float]:
        """Return after how many seconds a message arrives, once for each copy."""
        faults = self.faults
        if hop in CORE_HOPS and not subject.startswith("$"):
            if self.struck(faults.lost):
                self.counts["message lost"] += 1
                return ()
            if self.struck(faults.doubled):
                self.counts["message doubled"] += 1
                return (0.0, self._later())
        if hop == "puback" and self.struck(faults.puback_lost):
            self.counts["PubAck lost"] += 1
            return ()
        if hop == "settle" and self.struck(faults.lost):
            self.counts["ack to the bus lost"] += 1
            return ()
        if hop != "store" and self.struck(faults.delayed):  # a connection stores in the order of sending
            self.counts["message delayed"] += 1
            return (self._later(),)
        return AT_ONCE

    def away_s(self, peer: str) -> float:
        """Return how long a connection needs to come back."""
        return self.dice.uniform(0.0, 0.5)

    def _later(self) -> float:
        return round(self.dice.uniform(0.0, DELAY_S_MAX), 6)
