"""What every test shares: how hypothesis searches, here and in a nightly run."""

import os

from hypothesis import HealthCheck, settings

# Deadlines measure the machine, not the code; a slow machine is no counterexample.
settings.register_profile("quick", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", settings.get_profile("quick"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
