"""One try: send a ping, and return what came of it as a unit."""

from functools import partial

import msgspec
from msgspec import Struct

from bus.api import Clock
from bus.sending import Limits, NotSent, Resolve, Trust, post
from contracts.deliveries import Job
from contracts.errors import InvalidError
from contracts.work import Changes, Needs, Unit, View
from domain import deliveries
from domain.addresses import Reach, place, refusal
from domain.deliveries import OK, Patience, Tried
from services.courier.breaker import Breaker
from services.courier.signing import headers

LEFT_ALONE = "not tried: it failed too often, and is left alone for a while"
REDIRECTS = range(300, 400)


class Messenger(Struct, frozen=True, kw_only=True):
    """Whoever goes; what he knows of receivers is his own."""

    clock: Clock
    reach: Reach
    patience: Patience
    limits: Limits
    resolve: Resolve
    trust: Trust
    breaker: Breaker = msgspec.field(default_factory=Breaker)

    async def run(self, said: bytes) -> Unit:
        """Do a job and return what it comes to."""
        job = msgspec.json.decode(said, type=Job)
        tried = await self._tried(job)
        row, failures = deliveries.row(job.id), deliveries.failures(job.assignment)

        def decide(view: View, now: int) -> Changes:
            ((count,),) = view.rows[failures]
            return deliveries.settle(view, now, tried, view.rows[row], count, patience=self.patience)

        return Unit(
            key=f"delivery:{job.id}",
            needs=Needs(
                assignments=(job.assignment,), agents=(job.agent,), alone=True, lookups=(row, failures)
            ),
            decide=decide,
            actor="rollcall:courier",
        )

    async def _tried(self, job: Job) -> Tried:
        if self.breaker.is_open(job.agent, self.clock.monotonic()):
            return Tried(id=job.id, version=job.version, why=LEFT_ALONE)
        tried = await self._sent(job)
        if tried.status == OK:
            self.breaker.worked(job.agent)
        else:
            self.breaker.failed(job.agent, self.clock.monotonic())
        return tried

    async def _sent(self, job: Job) -> Tried:
        try:
            status = await post(
                place(job.url, self.reach),
                headers(job, self.clock.now()),
                job.body,
                judge=partial(refusal, reach=self.reach),
                resolve=self.resolve,
                trust=self.trust,
                limits=self.limits,
            )
        except (NotSent, InvalidError) as error:
            return Tried(id=job.id, version=job.version, why=str(error))
        why = "" if status == OK else f"answered {status}"
        if status in REDIRECTS:
            why += ": redirects are not followed"
        return Tried(id=job.id, version=job.version, status=status, why=why)
