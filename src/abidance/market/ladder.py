"""One side of an order book: levels on integer ticks, kept sorted while they come and go.

Knows prices and sizes, and nothing of venues, sequence numbers or trust: that is `market.book`.
"""

import math
from bisect import insort
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice

NOWHERE = math.nan
_FINER = 1_000
_HIGHEST = 1e15
_LEAST_ROOM = 256
_CHECKED_LEVELS = 10
_MANY = 200


def decimals(step: Decimal) -> int:
    """Return how many digits a step has after the point."""
    return max(0, -int(step.normalize().as_tuple().exponent))


class Ladder:
    """One side: sorted keys with the best one last, and the size at each price.

    A key is a price in thousandths of the tick's last decimal, negative for asks: when a venue makes a tick coarser,
    older orders stay at their finer prices. Each key stands for exactly one float, the one nearest to its decimal
    number, so that sizes are found by price without a conversion. A level that is gone stays with size 0, because
    levels come back, until every second one is of that kind.
    """

    __slots__ = ("_room", "_scale", "_sign", "best", "edge", "keys", "sizes")

    def __init__(self, sign: int, decimals: int) -> None:
        self._scale: int = 10**decimals * _FINER
        self._sign = sign
        self._room = _LEAST_ROOM
        self.keys: list[int] = []
        self.sizes: dict[float, float] = {}
        self.best = NOWHERE
        self.edge: int | None = None

    def take(self, levels: Sequence[tuple[float, float]]) -> bool:
        """Put levels in, removing those of size 0; False, half done, at the first price that is none here."""
        keys, sizes = self.keys, self.sizes
        are_many = len(levels) > _MANY
        for price, size in levels:
            if price in sizes:
                sizes[price] = size
            elif size:
                key = self._key(price)
                if not key:
                    return False
                if are_many:
                    keys.append(key)
                else:
                    insort(keys, key)
                sizes[price] = size
        if are_many:
            keys.sort()
        scale = self._scale * self._sign
        while keys:
            best = keys[-1] / scale
            if sizes[best]:
                self.best = best
                break
            del keys[-1], sizes[best]
        else:
            self.best = NOWHERE
        if len(keys) > self._room:
            self.sweep()
        return True

    def begin(self, levels: list[tuple[float, float]], certain: int) -> bool:
        """Start anew; with `certain` levels or more, the last of them is where knowledge ends."""
        self.clear()
        if not self.take(levels):
            return False
        self.edge = self.keys[0] if certain and len(self.keys) >= certain else None
        return True

    def clear(self) -> None:
        """Forget every level."""
        self.keys.clear()
        self.sizes.clear()
        self.best = NOWHERE
        self.edge = None

    def sweep(self) -> None:
        """Forget the levels that are gone."""
        scale, sizes = self._scale * self._sign, self.sizes
        self.keys = keys = [key for key in self.keys if sizes[key / scale]]
        self.sizes = {price: sizes[price] for price in (key / scale for key in keys)}
        self._room = max(_LEAST_ROOM, 2 * len(keys))

    def cut(self, depth: int) -> None:
        """Forget all but the best `depth` levels."""
        if len(self.keys) > depth:
            self.sweep()
            for key in self.keys[:-depth]:
                del self.sizes[key / (self._scale * self._sign)]
            del self.keys[:-depth]

    def levels(self) -> Iterator[tuple[float, float]]:
        """Yield (price, size), best first, as far as is known."""
        edge, sizes, scale = self.edge, self.sizes, self._scale * self._sign
        for key in reversed(self.keys):
            if edge is not None and key < edge:
                return
            price = key / scale
            if size := sizes[price]:
                yield price, size

    def digits(self, lots: int) -> str:
        """Return the best ten levels as a checksum reads them: digits of price and size without a point."""
        ticks = self._scale // _FINER
        best = islice(self.levels(), _CHECKED_LEVELS)
        return "".join(f"{round(price * ticks)}{round(size * lots)}" for price, size in best)

    def _key(self, price: float) -> int:
        """Return the key of a price, 0 when it is none or far finer than the tick."""
        if not 0.0 < price <= _HIGHEST:
            return 0
        key = round(price * self._scale)
        # Both sides are the float nearest to one decimal number, so that equality is exact.
        return key * self._sign if key / self._scale == price else 0
