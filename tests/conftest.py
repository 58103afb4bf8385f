"""Hypothesis profiles (`ci` repeats the same examples, `dev` looks for new ones) and where compiled code is kept."""

import os
from pathlib import Path

from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Compiling takes half a minute: once for all tests, whatever home each of them has.
os.environ.setdefault("ABIDANCE_CACHE", str(Path(__file__).parents[1] / ".compiled"))
