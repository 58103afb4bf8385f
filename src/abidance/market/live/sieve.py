"""Each public trade once, however many connections bring it and however often a venue repeats itself."""

from collections import deque

from abidance.model.market import Trade

KEPT = 4_096
"""Trades per instrument that are remembered; the overlap of two connections and a venue's replays are far shorter."""

_Print = tuple[int, float, float, bool]


class Sieve:
    """Lets the trades of one instrument through once.

    Trades with an id are told apart by it. Without ids equal prints are counted per source: two equal ones from one
    source are two trades, one each from two sources is one.
    """

    __slots__ = ("_ids", "_order", "_seen", "_told")

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._order: deque[str | _Print] = deque()
        self._told: dict[_Print, int] = {}
        self._seen: dict[_Print, dict[int, int]] = {}

    def is_new(self, trade: Trade, source: int) -> bool:
        """Say whether the trade was not let through before, and let it through."""
        if id := trade.id:
            if id in self._ids:
                return False
            self._ids.add(id)
            self._remember(id)
            return True
        key = (trade.ts, trade.price, trade.size, trade.buyer_is_taker)
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = {}
            self._remember(key)
        count = seen[source] = seen.get(source, 0) + 1
        if count <= self._told.get(key, 0):
            return False
        self._told[key] = count
        return True

    def _remember(self, key: "str | _Print") -> None:
        order = self._order
        order.append(key)
        if len(order) > KEPT:
            old = order.popleft()
            if isinstance(old, str):
                self._ids.discard(old)
            else:
                self._seen.pop(old, None)
                self._told.pop(old, None)
