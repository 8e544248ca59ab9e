"""What every test shares: how hypothesis searches, and that programs hear Ctrl-C."""

import os
import signal

from hypothesis import HealthCheck, settings

# Deadlines measure the machine, not the code; a slow machine is no counterexample.
settings.register_profile("quick", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", settings.get_profile("quick"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# A job that a script puts in the background ignores Ctrl-C, and so would every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
