"""Compiled: how far a tape of ticks may be passed over before one of them is anybody's business, and order books.

Importing this module imports numba, which takes a quarter of a second: import it where a long tape is replayed.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from abidance.kernel import jit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_UNIT = jit.Compiler((Path(__file__), Path(jit.__file__)))
_compiled = _UNIT.entrance


@_compiled
def pass_over(
    row: int, stop: int, until: int, tape: tuple[Ints, Ints, Floats, Floats],
    lanes: tuple[Floats, Floats, Ints, Floats, Floats], newest: Ints, seen: Ints, check: Ints,
) -> int:  # fmt: skip
    """Return the first row of `tape` from `row` on that may not be passed over, `stop` at most.

    A row is time, lane, and the lower and higher of its two prices. It is passed when it is earlier than `until` and
    than its lane's waking time, and within its lane's prices, bounds excluded. Each of the `check` moments (the next,
    the first that may not be passed, the distance, and the last that was) wants every lane's newest prices within its
    band, bounds included. `newest` receives the last row of each lane, `seen` the last at the last check, -1 for none.
    """
    ts, lane, low, high = tape
    lowest, highest, wake, band_low, band_high = lanes
    while row < stop:
        now, own = ts[row], lane[row]
        if now >= until or now >= wake[own] or not (low[row] > lowest[own] and high[row] < highest[own]):
            break
        if now >= check[0]:
            quiet = now < check[1] and band_low[own] <= low[row] and high[row] <= band_high[own]
            for other in range(len(newest)):
                last = newest[other]
                if other != own and last >= 0:
                    quiet &= band_low[other] <= low[last] and high[last] <= band_high[other]
            if not quiet:
                break
            newest[own] = row
            seen[:] = newest
            check[0], check[3] = now + check[2], now
        newest[own] = row
        row += 1
    return row


# --- order books: keys are prices of bids and negated prices of asks, ascending, so that the best stands last


@_compiled
def apply(
    keys: Floats, sizes: Floats, counts: Ints, start: int, stop: int, rows: tuple[Ints, Floats, Floats]
) -> None:
    """Take rows (side 0 or 1, key, size; size 0 removes a level) into a ladder that has room for them."""
    side, key, size = rows
    for row in range(start, stop):
        own = side[row]
        count = counts[own]
        at = count
        while at > 0 and keys[own, at - 1] >= key[row]:
            at -= 1
            if count - at == 32:  # changes cluster near the best; what is deeper is searched by halves
                at = np.searchsorted(keys[own, :at], key[row])
                break
        known = at < count and keys[own, at] == key[row]
        if size[row] > 0.0:
            if not known:
                for other in range(count, at, -1):
                    keys[own, other], sizes[own, other] = keys[own, other - 1], sizes[own, other - 1]
                keys[own, at] = key[row]
                counts[own] = count + 1
            sizes[own, at] = size[row]
        elif known:
            for other in range(at, count - 1):
                keys[own, other], sizes[own, other] = keys[own, other + 1], sizes[own, other + 1]
            counts[own] = count - 1


@_compiled
def lead(
    keys: Floats, sizes: Floats, counts: Ints, updates: tuple[Ints, Ints], rows: tuple[Ints, Floats, Floats],
    best: Floats,
) -> None:  # fmt: skip
    """Take all updates (first row, whether it begins a ladder; one more row ends the list) and note the best prices."""
    starts, fresh = updates
    for at in range(len(fresh)):
        if fresh[at]:
            counts[:] = 0
        apply(keys, sizes, counts, starts[at], starts[at + 1], rows)
        best[0, at] = keys[0, counts[0] - 1] if counts[0] else np.nan
        best[1, at] = -keys[1, counts[1] - 1] if counts[1] else np.nan


# --- bars


@_compiled
def is_clean(tape: tuple[Ints, Floats, Floats], earliest: int, latest: int) -> bool:
    """Say whether all trades can be, between two moments, in the order of time."""
    ts, price, size = tape
    last = earliest
    for row in range(len(ts)):
        if ts[row] < last or not (0.0 < price[row] <= 1e18 and 0.0 < size[row] <= 1e18):
            return False
        last = ts[row]
    return last < latest


@_compiled
def group(tape: tuple[Ints, Floats, Floats], step: int, offset: int, found: tuple[Ints, Floats]) -> int:
    """Return how many bars trades make, written into `found` (slots; open, high, low, close, volume), or -1.

    -1 says that a trade goes back in time or cannot be, or that there are too many bars: this is for sound tapes.
    Volumes are kept in two floats each, so that they round once.
    """
    ts, price, size = tape
    slots, columns = found
    count, row, last, most = 0, 0, np.int64(-1), np.inf
    while row < len(ts):
        if count == len(slots) or ts[row] < last:
            return -1
        slot = (ts[row] - offset) // step
        end = (slot + 1) * step + offset
        first = highest = lowest = close = price[row]
        upper = lower = 0.0
        sound = True
        # Plain numbers inside the bar: what is written to an array at each trade would have to wait for it.
        while row < len(ts) and ts[row] < end:
            now, at, more = ts[row], price[row], size[row]
            sound &= (now >= last) & (at > 0.0) & (at < most) & (more > 0.0) & (more < most)
            last, close = now, at
            highest = max(highest, at)
            lowest = min(lowest, at)
            total = upper + more
            part = total - upper
            lower += (upper - (total - part)) + (more - part)
            upper = total
            row += 1
        if not sound:
            return -1
        slots[count] = slot
        columns[0, count], columns[1, count], columns[2, count] = first, highest, lowest
        columns[3, count], columns[4, count] = close, upper + lower
        count += 1
    return count
