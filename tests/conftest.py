"""Hypothesis profiles (`ci` repeats the same examples, `dev` looks for new ones), and where compiled code is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Compiling takes half a minute: once for all tests, whatever home each of them has.
os.environ.setdefault("ABIDANCE_CACHE", str(Path(__file__).parents[1] / ".compiled"))


@pytest.fixture(scope="session")
def kernels_are_compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let a run compile the executor, so that no test which drives a program has to wait for that."""
    backtest = ("backtest", "--engine", "compiled", "-s", "EmaCross", "-p", "BTC/USDT", "--no-count")
    command = [sys.executable, "-m", "abidance", *backtest, "--timerange", "20240101-20240201"]
    home = str(tmp_path_factory.mktemp("compiling"))
    subprocess.run([*command, "--userdir", home], check=True, capture_output=True)
