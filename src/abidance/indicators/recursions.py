"""Compiled: indicators whose every value needs the one before, and comparisons of whole columns."""

# mypy: warn-return-any=False

import math
from pathlib import Path

import numpy as np

from abidance.indicators.arrays import FloatArray, IntArray
from abidance.kernel import jit

_UNIT = jit.Compiler((Path(__file__), Path(str(jit.__file__))))


@_UNIT.entrance
def exponential(values: FloatArray, period: int) -> FloatArray:
    """Return the exponential average seeded by the first known value; NaN in its first `period` - 1 rows."""
    found = np.empty(len(values))
    start = 0
    while start < len(values) and values[start] != values[start]:
        start += 1
    first = min(len(values), start + period - 1)
    found[:first] = math.nan
    if start == len(values):
        return found
    gain = 2.0 / (period + 1)
    average = values[start]
    for row in range(start + 1, first):
        average += (values[row] - average) * gain
    if first == start:
        found[start] = average
        first += 1
    for row in range(first, len(values)):
        average += (values[row] - average) * gain
        found[row] = average
    return found


@_UNIT.entrance
def crossed(fast: FloatArray, slow: FloatArray, below: float) -> FloatArray:
    """Return 1 where `fast` comes to stand above `slow`, `below` where it no longer does, NaN elsewhere."""
    found = np.full(len(fast), math.nan)
    was_known = was_above = False
    for row in range(len(fast)):
        one, two = fast[row], slow[row]
        is_above, is_known = one > two, one == one and two == two
        if is_above != was_above and is_known and was_known:
            found[row] = 1.0 if is_above else below
        was_known, was_above = is_known, is_above
    return found


@_UNIT.entrance
def exponential_crossings(values: FloatArray, fast: int, slow: int) -> tuple[IntArray, FloatArray]:
    """Return where two `exponential` averages of a column without NaN cross, and whether the fast one is above then.

    The averages are never laid down: this takes the time of one of them.
    """
    rows, above = np.empty(len(values), np.int64), np.empty(len(values))
    gain, slow_gain = 2.0 / (fast + 1), 2.0 / (slow + 1)
    first, count = max(fast, slow) - 1, 0
    average = slow_average = values[0]
    was_above = False
    for row in range(1, len(values)):
        average += (values[row] - average) * gain
        slow_average += (values[row] - slow_average) * slow_gain
        is_above = average > slow_average
        if is_above != was_above and row > first:
            rows[count], above[count] = row, 1.0 if is_above else 0.0
            count += 1
        was_above = is_above
    return rows[:count].copy(), above[:count].copy()
