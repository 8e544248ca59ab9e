"""What every test shares: how hypothesis searches, how it is logged, and that programs hear Ctrl-C."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from structlog._config import BoundLoggerLazyProxy

# Deadlines measure the machine, not the code; a slow machine is no counterexample.
# Quick runs look at the same examples each time, so that a change answers for what it did; deep ones search.
settings.register_profile(
    "quick", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", settings.get_profile("quick"), derandomize=False, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# A job that a script puts in the background ignores Ctrl-C, and so would every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _logs_as_usual() -> Iterator[None]:
    """Let no test log as an earlier one did: a logger keeps the way in which it was first used."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        for module in list(sys.modules.values()):
            logger = vars(module).get("log")
            if isinstance(logger, BoundLoggerLazyProxy):
                vars(logger).pop("bind", None)
