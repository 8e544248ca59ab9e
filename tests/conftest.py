"""What every test shares: how hypothesis searches, and that programs hear Ctrl-C."""

import os
import signal

from hypothesis import HealthCheck, settings

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
