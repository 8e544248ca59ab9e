"""A unit of work of the gateway's own, in this process's store: its answer, or the refusal for HTTP."""

import structlog

from bus.service import Context
from contracts.errors import InternalError, UnavailableError
from contracts.work import Committed, StoreFaultError, Unit

log = structlog.get_logger(__name__)


async def run(context: Context, unit: Unit) -> Committed:
    """Run it; raises UnavailableError for an ill store, InternalError for a unit that cannot be run."""
    try:
        (outcome,) = await context.ledger.run([unit], context.clock.now())
    except StoreFaultError as error:
        log.warning("store.fault", reason=str(error))
        raise UnavailableError("the store cannot be used now") from error
    if isinstance(outcome, Committed):
        return outcome
    log.error("unit.failed", key=unit.key, exc_info=outcome.error)
    raise InternalError from outcome.error
