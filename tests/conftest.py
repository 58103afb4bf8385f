"""Hypothesis profiles (`ci` repeats the same examples, `dev` looks for new ones), logs, the place of compiled code."""

import fcntl
import gc
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# What tests log is told plainly, as the program tells it: pictures of tracebacks take a fifth of a second each.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

# Compiling takes half a minute: once for all tests, whatever home each of them has.
os.environ.setdefault("ABIDANCE_CACHE", str(Path(__file__).parents[1] / ".compiled"))

COMPILE = """
from abidance.backtest import native
from abidance.indicators import recursions
native.prepare()
native.run_lane.prepare()
recursions.prepare()
"""


SLOW = 400
"""Seconds for a test that is marked slow, on a machine that has other things to do; `--timeout` may give it more."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what is loaded, which all stays: it would take as long as the loading."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests longer, and count the time of a test alone where all has to be compiled before it."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(max(SLOW, item.config.getoption("timeout", None) or 0)))
        if "kernels_are_compiled" in getattr(item, "fixturenames", ()):
            own = item.get_closest_marker("timeout")
            seconds = own.args[0] if own else float(item.config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(seconds, func_only=True), append=False)


@pytest.fixture(scope="session")
def kernels_are_compiled() -> None:
    """Compile whatever a program compiles, so that no test which drives one waits for that: in one worker alone."""
    cache = Path(os.environ["ABIDANCE_CACHE"])
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "compiling.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        subprocess.run([sys.executable, "-c", COMPILE], check=True, capture_output=True, timeout=1_200)
