"""How hard the property tests look, everywhere; and the real model."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

from real_model import local_model

__all__ = ["local_model"]

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)  # how fast the machine is says nothing about the code

settings.register_profile("tests", deadline=None, max_examples=200, suppress_health_check=_SLOW, database=None)
settings.register_profile("ci", settings.get_profile("tests"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "tests")

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every program they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
