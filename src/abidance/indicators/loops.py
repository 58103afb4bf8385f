"""Compiled: the loops of `recursions`. Columns come in and go out by address."""

# mypy: warn-return-any=False

import math

from abidance.indicators.recursions import SOURCES
from abidance.kernel.jit import Compiler, floats_at, ints_at

bare = Compiler(SOURCES).bare


@bare
def exponential(values_at: int, count: int, period: int, found_at: int) -> int:
    """Lay down an exponential average seeded by the first known value; NaN in its first `period` - 1 rows."""
    values, found = floats_at(values_at, count), floats_at(found_at, count)
    start = 0
    while start < count and values[start] != values[start]:
        start += 1
    first = min(count, start + period - 1)
    for row in range(first):
        found[row] = math.nan
    if start == count:
        return 0
    gain, average = 2.0 / (period + 1), values[start]
    for row in range(start + 1, first):
        average += (values[row] - average) * gain
    if first == start:
        found[start] = average
        first += 1
    for row in range(first, count):
        average += (values[row] - average) * gain
        found[row] = average
    return 0


@bare
def exponential_crossings(
    values_at: int, count: int, fast: int, slow: int, rows_at: int, above_at: int
) -> int:
    """Lay down the rows where two averages cross and whether the fast one is above then; return how many there are.

    The values must all be known. The averages are never laid down: this takes the time of one of them.
    """
    values, rows, above = floats_at(values_at, count), ints_at(rows_at, count), floats_at(above_at, count)
    gain, slow_gain = 2.0 / (fast + 1), 2.0 / (slow + 1)
    first, found = max(fast, slow) - 1, 0
    average = slow_average = values[0]
    was_above = False
    for row in range(1, count):
        average += (values[row] - average) * gain
        slow_average += (values[row] - slow_average) * slow_gain
        is_above = average > slow_average
        if is_above != was_above and row > first:
            rows[found], above[found] = row, 1.0 if is_above else 0.0
            found += 1
        was_above = is_above
    return found
