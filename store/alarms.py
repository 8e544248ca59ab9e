"""The course that writes down what is wrong with the house: once when it begins, and once when it is over."""

from collections.abc import Sequence
from typing import Final

from contracts.records import Alarm
from contracts.work import Changes, Committed, Fact, Needs, Unit
from store.batch import Catalogue, load_life, records
from store.statements import Course, Fetch, Write, bound
from store.view import Rng
from store.working_set import WorkingSet
from store.writer import Writer, posts_of

_ACTOR: Final = "rollcall:watch"


def alarm(catalogue: Catalogue, standing: Sequence[Alarm], now: int, rng: Rng) -> Course[Committed]:
    """Let exactly these alarms stand; whoever looks at the same time writes none of them twice."""
    rows = yield Fetch(catalogue["list_alarms"])
    before = {row.name: row for row in records(catalogue["list_alarms"], rows)}
    names = {row.name for row in standing}
    raised = [row for row in standing if row.name not in before]
    over = [row for name, row in before.items() if name not in names]
    if not raised and not over:
        return Committed()
    insert, delete = catalogue["raise_alarm"], catalogue["end_alarm"]
    if raised:
        yield Write(insert, [(row.name, row.since, row.detail, row.fix) for row in raised])
    if over:
        yield Write(delete, [bound(delete, {"name": row.name}) for row in over])
    facts = [_fact(row, "alarm_raised", detail=row.detail, fix=row.fix) for row in raised]
    facts += [_fact(row, "alarm_over", lasted_s=str(max(0, now - row.since) // 1_000_000)) for row in over]
    life = yield from load_life(catalogue, rng, now)
    writer = Writer(catalogue, WorkingSet(catalogue), life)
    unit = Unit(key="alarm", needs=Needs(), decide=lambda _view, _now: Changes())
    held = writer.accept(writer.prepare(unit, Changes(facts=tuple(facts)), now))
    yield from writer.flush()
    return Committed(posts=posts_of(held))


def _fact(row: Alarm, event: str, **data: str) -> Fact:
    return Fact(aggregate="system", id=row.name, event=event, version=0, actor=_ACTOR, data=data)
