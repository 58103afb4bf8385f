"""Compiled: the loops of `recursions`. Columns come in and go out by address."""

# mypy: warn-return-any=False

import math
from functools import partial
from typing import Any

from abidance.indicators.recursions import SOURCES
from abidance.kernel.jit import Compiler, floats_at, ints_at

_UNIT = Compiler(SOURCES)
bare, kernel = _UNIT.bare, _UNIT.kernel
inlined = partial(kernel, forceinline=True)
Pair = tuple[float, float]
_PERIODS = 24
"""After so many periods an average is, in nearly every case, the same to the last bit wherever it began."""


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

    -1 when not all values are finite. The averages are never laid down.
    """
    values, rows, above = floats_at(values_at, count), ints_at(rows_at, count), floats_at(above_at, count)
    gains = 2.0 / (fast + 1), 2.0 / (slow + 1)
    longest = max(fast, slow)
    at, averages, size = 0, (values[0], values[0]), 0
    if count // 4 >= 8 * _PERIODS * longest:
        size = count // 4
        at, averages = quarters(values, (rows, above), size, gains, longest)
    at, averages = cross(values, (rows, above), at, (4 * size, count), averages, gains, longest)
    return at if math.isfinite(averages[0] + averages[1]) else -1


@kernel
def quarters(values: Any, found: Any, size: int, gains: Pair, longest: int) -> tuple[int, Pair]:
    """Do what `cross` does with the first four times `size` rows, in four parts at once.

    Each step of an average waits for the one before it, so that four take hardly longer than one. The later parts
    begin early, at some value: by and by such an average becomes the same to the last bit as one that began long ago.
    A part that turns out to have begun otherwise than the one before it ended is taken again.
    """
    rows, above = found
    lead, second, third = _PERIODS * longest, 2 * size, 3 * size
    b = b_slow = values[size - lead]
    c = c_slow = values[second - lead]
    d = d_slow = values[third - lead]
    for row in range(-lead, 0):
        b, b_slow = step(b, b_slow, values[size + row], gains)
        c, c_slow = step(c, c_slow, values[second + row], gains)
        d, d_slow = step(d, d_slow, values[third + row], gains)
    begun_b, begun_c, begun_d = (b, b_slow), (c, c_slow), (d, d_slow)
    a = a_slow = values[0]
    is_a, is_b, is_c, is_d = False, b > b_slow, c > c_slow, d > d_slow
    n_a, n_b, n_c, n_d = 0, size, second, third
    for row in range(size):
        a, a_slow = step(a, a_slow, values[row], gains)
        b, b_slow = step(b, b_slow, values[size + row], gains)
        c, c_slow = step(c, c_slow, values[second + row], gains)
        d, d_slow = step(d, d_slow, values[third + row], gains)
        if (a > a_slow) != is_a:
            is_a = not is_a
            if row >= longest:
                rows[n_a], above[n_a] = row, is_a
                n_a += 1
        if (b > b_slow) != is_b:
            is_b = not is_b
            rows[n_b], above[n_b] = size + row, is_b
            n_b += 1
        if (c > c_slow) != is_c:
            is_c = not is_c
            rows[n_c], above[n_c] = second + row, is_c
            n_c += 1
        if (d > d_slow) != is_d:
            is_d = not is_d
            rows[n_d], above[n_d] = third + row, is_d
            n_d += 1
    how = (size, gains, longest)
    at, ended = joined(values, found, n_a, (a, a_slow), (size, n_b, begun_b, (b, b_slow)), how)
    at, ended = joined(values, found, at, ended, (second, n_c, begun_c, (c, c_slow)), how)
    return joined(values, found, at, ended, (third, n_d, begun_d, (d, d_slow)), how)


@kernel
def joined(values: Any, found: Any, at: int, before: Pair, part: Any, how: Any) -> tuple[int, Pair]:
    """Put what a part has found behind what was found before it; take the part again if it began wrongly."""
    rows, above = found
    first, stop, begun, ended = part
    size, gains, longest = how
    if begun[0] != before[0] or begun[1] != before[1]:
        return cross(values, found, at, (first, first + size), before, gains, longest)
    for row in range(first, stop):
        rows[at], above[at] = rows[row], above[row]
        at += 1
    return at, ended


@kernel
def cross(
    values: Any, found: Any, at: int, part: tuple[int, int], averages: Pair, gains: Pair, longest: int
) -> tuple[int, Pair]:
    """Add the crossings in a part of the rows to those found before, `at` in number; return how many there are then.

    `averages` are those of the row before the part. Rows below `longest` are passed over.
    """
    rows, above = found
    fast, slow = averages
    is_above = fast > slow
    for row in range(part[0], part[1]):
        fast, slow = step(fast, slow, values[row], gains)
        if (fast > slow) != is_above:
            is_above = not is_above
            if row >= longest:
                rows[at], above[at] = row, is_above
                at += 1
    return at, (fast, slow)


@inlined
def step(fast: float, slow: float, value: float, gains: Pair) -> Pair:
    """Return two averages after another value."""
    return fast + (value - fast) * gains[0], slow + (value - slow) * gains[1]
