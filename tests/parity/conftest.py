"""Holds each parity property to how many of its runs must have been compiled."""

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import is_hypothesis_test

from tests.parity.tally import LEAST, RUNS


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Count the runs of a test; a property fails when too few of them were compiled."""
    RUNS.clear()
    outcome = yield
    if is_hypothesis_test(pyfuncitem.obj):
        marker = pyfuncitem.get_closest_marker("compiled")
        RUNS.check(marker.args[0] if marker else LEAST)
    return outcome
