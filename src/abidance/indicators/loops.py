"""Compiled: the loops of `recursions`. Columns come in and go out by address."""

# mypy: warn-return-any=False

import math
from functools import partial
from typing import Any

from abidance.kernel import lanes as _lanes
from abidance.kernel.jit import bare, floats_at, ints_at, kernel
from abidance.kernel.lanes import LANES

inlined = partial(kernel, forceinline=True)
lanes: Any = _lanes
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
    values_at: int, count: int, fast: int, slow: int, rows_at: int, above_at: int, ends_at: int
) -> int:
    """Lay down the rows where two averages cross and whether the fast one is above then; return how many there are.

    -1 when not all values are finite. The averages are never laid down. `ends_at` is room for eight whole numbers.
    """
    values, rows, above = floats_at(values_at, count), ints_at(rows_at, count), floats_at(above_at, count)
    gains = 2.0 / (fast + 1), 2.0 / (slow + 1)
    longest = max(fast, slow)
    at, averages, size = 0, (values[0], values[0]), count // LANES
    if size < 2 * _PERIODS * longest:
        size = 0
    if size:
        room = ints_at(ends_at, LANES), ints_at(above_at, size)  # what is above is laid down last
        at, averages = strips(values, (rows, above), room, size, gains, longest)
    at, averages = cross(values, (rows, above), at, (LANES * size, count), averages, gains, longest)
    return at if math.isfinite(averages[0] + averages[1]) else -1


@kernel
def strips(values: Any, found: Any, room: Any, size: int, gains: Pair, longest: int) -> tuple[int, Pair]:
    """Do what `cross` does with the first eight times `size` rows, in eight strips at once.

    Each step of an average waits for the one before it, so that eight take hardly longer than one. The later strips
    begin early, at some value: by and by such an average becomes the same to the last bit as one that began long ago.
    A strip that turns out to have begun otherwise than the one before it ended is taken again.
    """
    rows, ends, notes = found[0], room[0], room[1]
    lead = _PERIODS * longest
    fast = slow = lanes.apart(values, size - lead, size)
    for row in range(size - lead, size):
        value = lanes.apart(values, row, size)
        fast, slow = lanes.closer(fast, value, gains[0]), lanes.closer(slow, value, gains[1])
    fast, slow = lanes.moved_up(fast, values[0]), lanes.moved_up(slow, values[0])
    begun, is_above = (fast, slow), lanes.above(fast, slow)
    count = 0
    for row in range(size):
        value = lanes.apart(values, row, size)
        fast, slow = lanes.closer(fast, value, gains[0]), lanes.closer(slow, value, gains[1])
        turned = lanes.above(fast, slow) ^ is_above
        is_above ^= turned
        notes[count] = row << LANES | turned  # the next note takes the place of one that tells nothing
        count += turned != 0
    for lane in range(LANES):
        ends[lane] = lane * size
    for note in notes[:count]:
        row, turned = note >> LANES, note & ((1 << LANES) - 1)
        while turned:
            lane = lanes.lowest(turned)
            turned &= turned - 1
            rows[ends[lane]] = lane * size + row
            ends[lane] += 1
    at, averages, how = 0, (values[0], values[0]), (size, gains, longest)
    for lane in range(LANES):
        part = lane, ends[lane], is_above >> lane & 1
        begins = lanes.lane_of(begun[0], lane), lanes.lane_of(begun[1], lane)
        ended = lanes.lane_of(fast, lane), lanes.lane_of(slow, lane)
        at, averages = joined(values, found, (at, averages), part, (begins, ended), how)
    return at, averages


@kernel
def joined(values: Any, found: Any, before: Any, part: Any, averages: Any, how: Any) -> tuple[int, Pair]:
    """Put what a strip has found behind what was found before it; take the strip again if it began wrongly."""
    rows, above = found
    at, ended = before
    lane, stop, is_above = part
    size, gains, longest = how
    first = lane * size
    if averages[0][0] != ended[0] or averages[0][1] != ended[1]:
        return cross(values, found, at, (first, first + size), ended, gains, longest)
    while first < stop and rows[first] < longest:
        first += 1
    is_above ^= (stop - first) & 1
    for row in range(first, stop):
        is_above ^= 1
        rows[at], above[at] = rows[row], is_above
        at += 1
    return at, averages[1]


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
