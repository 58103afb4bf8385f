"""One order book: a ladder on integer ticks, begun by a snapshot, kept by a venue's updates, dropped when in doubt.

Owns the rules by which updates prove that none is missing, and the questions one may ask of a ladder. Knows no
socket and no clock: it is told, and says what it made of it. A book that is not whole answers NaN and nothing else.
"""

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from abidance.market.ladder import NOWHERE, Ladder, decimals
from abidance.model.instrument import Instrument
from abidance.model.market import BookDelta, BookSnapshot, Quote
from abidance.model.order import Side

_KEPT_UPDATES = 20_000
_ECHO_NS = 5_000_000_000
_COUNT_EVERY = 256


class Continuity(StrEnum):
    """How a venue's book updates prove that none is missing."""

    RANGE = "range"
    """first <= last applied + 1 <= last (Binance spot, KuCoin, MEXC)."""
    PREVIOUS = "previous"
    """previous equals the last applied (Binance futures)."""
    STEP = "step"
    """last rises by exactly one (Bybit)."""
    CHECKSUM = "checksum"
    """the checksum over the top of the book is equal (Kraken)."""
    WHOLE = "whole"
    """every update is the whole ladder (ccxt)."""


@dataclass(frozen=True)
class BookRule:
    """How a ladder is begun and kept. `snapshot_in_stream` says whether it comes unasked or by REST.

    `depths` are the levels a side that can be subscribed to, least first; 0 stands for all. A REST snapshot holds at
    most `snapshot_levels` a side: what lies beyond its last level is not known until it changes.
    """

    continuity: Continuity
    snapshot_in_stream: bool
    depths: tuple[int, ...]
    snapshot_levels: int = 0

    def depth_for(self, wanted: int) -> int:
        """Return the least depth on offer that holds `wanted` levels (0 = all), else the deepest."""
        if 0 in self.depths:
            return 0
        enough = [depth for depth in self.depths if 0 < wanted <= depth]
        return min(enough) if enough else max(self.depths)


class Taken(StrEnum):
    """What a book made of an update; all but the first three dropped the ladder."""

    APPLIED = "applied"
    OLD = "old"
    """Known already; nothing changed."""
    WAITING = "waiting"
    """There is no ladder yet; the update is kept for the snapshot."""
    GAP = "gap"
    CROSSED = "crossed"
    CHECKSUM = "checksum"
    OFF_TICK = "off_tick"
    EMPTY = "empty"
    """A snapshot without a level: a halted market, or a venue in trouble."""


class OrderBook:
    """The ladder of one instrument. Feed it all updates of the venue in their order; it says what each did to it.

    Where snapshots come by REST, updates that arrive before one are kept and applied on top of it. After a gap, a
    crossing, a wrong checksum or an impossible price the ladder is empty until the next snapshot.
    """

    def __init__(self, instrument: Instrument, rule: BookRule, depth: int = 0) -> None:
        """Make an empty book; `depth` is what was subscribed to (see `BookRule.depth_for`)."""
        self.instrument = instrument.id
        self.ts = 0
        self.last = 0
        self.reason = "no snapshot yet"
        self._rule = rule
        # Sums are over the ladder that the venue keeps: no other depth than one on offer can have been meant.
        self._depth = rule.depth_for(depth) if rule.continuity is Continuity.CHECKSUM else 0
        self._is_summed = rule.continuity is Continuity.CHECKSUM
        self._is_cut = rule.snapshot_levels > 0 and not rule.snapshot_in_stream
        self._lots: int = 10 ** decimals(instrument.lot)
        self._tick = instrument.tick
        self._bids = Ladder(1, decimals(instrument.tick))
        self._asks = Ladder(-1, decimals(instrument.tick))
        self._whole = False
        self._fresh = False
        self._thin = False
        self._uncounted = 0
        self._waiting: list[BookDelta] = []
        self._standing: Callable[[BookDelta], Taken] = {
            Continuity.RANGE: self._in_range,
            Continuity.PREVIOUS: self._after_previous,
            Continuity.STEP: self._one_step,
            Continuity.CHECKSUM: lambda _: Taken.APPLIED,
            Continuity.WHOLE: lambda _: Taken.GAP,
        }[rule.continuity]

    @property
    def is_whole(self) -> bool:
        """Return True while every update since a snapshot is in the ladder."""
        return self._whole

    @property
    def wants_snapshot(self) -> bool:
        """Return True without a ladder, or when most of what a cut snapshot told has been traded away."""
        return not self._whole or self._thin

    def apply(self, delta: BookDelta) -> Taken:
        """Take in an update or a snapshot and say what became of it; `reason` puts a failure in words."""
        if delta.is_snapshot:
            return self._begin(delta)
        if not self._whole:
            return self._keep(delta)
        standing = self._standing(delta)
        if standing is Taken.APPLIED:
            self._fresh = False
            if not (self._bids.take(delta.bids) and self._asks.take(delta.asks)):
                return self._off_tick(delta)
            return self._settle(delta)
        if standing is Taken.OLD and (self._fresh or self.ts == 0 or delta.ts - self.ts < _ECHO_NS):
            return Taken.OLD
        # An old number so much later is no echo: the venue counts anew, or the number we hold was wrong.
        found = self._fail(Taken.GAP, f"update {delta.first}-{delta.last} does not follow {self.last}")
        self._keep(delta)
        return found

    def drop(self, reason: str) -> None:
        """Forget the ladder and what waits for a snapshot, as when the connection was lost."""
        self._fail(Taken.GAP, reason)
        self._waiting.clear()

    def _begin(self, snapshot: BookDelta) -> Taken:
        """Start from a snapshot, then apply what waited for it."""
        rule = self._rule
        if self._whole and not rule.snapshot_in_stream and snapshot.last < self.last:
            return Taken.OLD
        certain = rule.snapshot_levels if self._is_cut else 0
        if not (self._bids.begin(snapshot.bids, certain) and self._asks.begin(snapshot.asks, certain)):
            return self._off_tick(snapshot)
        if not self._bids.keys and not self._asks.keys:
            return self._fail(Taken.EMPTY, "the snapshot holds no level")
        self._uncounted = 0
        if (found := self._settle(snapshot)) is not Taken.APPLIED:
            return found
        self._whole = self._fresh = True
        waiting, self._waiting = self._waiting, []
        for at, delta in enumerate(waiting):
            found = self.apply(delta)
            if found not in {Taken.APPLIED, Taken.OLD}:
                # The snapshot is older than what waited: a newer one may still join up with it.
                self._waiting = waiting[at:]
                return found
        return Taken.APPLIED

    def _keep(self, delta: BookDelta) -> Taken:
        if not self._rule.snapshot_in_stream:
            if len(self._waiting) >= _KEPT_UPDATES:
                self._waiting.clear()
            self._waiting.append(delta)
        return Taken.WAITING

    def _settle(self, delta: BookDelta) -> Taken:
        """Look whether the changed ladder can be right."""
        if self._bids.best >= self._asks.best:
            return self._fail(Taken.CROSSED, f"bid {self.best_bid} is not below ask {self.best_ask}")
        if self._is_summed and (wrong := self._wrong_sum(delta.checksum)):
            return self._fail(Taken.CHECKSUM, wrong)
        if self._is_cut and not self._stays_in_sight():
            return self._fail(Taken.GAP, "the market has left the part of the ladder that is known")
        self.last = delta.last
        self.ts = delta.ts
        return Taken.APPLIED

    def _wrong_sum(self, checksum: int) -> str:
        """Cut the ladder to its depth; say what is wrong with the venue's checksum, nothing when it is right."""
        self._bids.cut(self._depth)
        self._asks.cut(self._depth)
        if checksum < 0:
            return "the update carries no checksum"
        found = self.checksum()
        return "" if found == checksum else f"the checksum is {found}, not {checksum}"

    def _stays_in_sight(self) -> bool:
        """Return False once a best price lies beyond the snapshot's end; now and then count how much is left."""
        for side in (self._bids, self._asks):
            if side.edge is not None and (not side.keys or side.keys[-1] < side.edge):
                return False
        self._uncounted -= 1
        if self._uncounted < 0:
            self._uncounted = _COUNT_EVERY
            few = self._rule.snapshot_levels // 4
            self._thin = any(
                side.edge is not None and sum(1 for _ in islice(side.levels(), few)) < few
                for side in (self._bids, self._asks)
            )
        return True

    def _off_tick(self, delta: BookDelta) -> Taken:
        return self._fail(
            Taken.OFF_TICK, f"update {delta.last} holds a price much finer than the tick {self._tick}"
        )

    def _fail(self, found: Taken, reason: str) -> Taken:
        self._whole = False
        self.reason = reason
        self._bids.clear()
        self._asks.clear()
        return found

    def _in_range(self, delta: BookDelta) -> Taken:
        if delta.last <= self.last:
            return Taken.OLD
        return Taken.APPLIED if delta.first <= self.last + 1 else Taken.GAP

    def _after_previous(self, delta: BookDelta) -> Taken:
        if delta.last < self.last or (delta.last == self.last and not self._fresh):
            return Taken.OLD
        # The first update after a snapshot spans its number; it names no predecessor that we have seen.
        if self._fresh:
            return Taken.APPLIED if delta.previous <= self.last else Taken.GAP
        return Taken.APPLIED if delta.previous == self.last else Taken.GAP

    def _one_step(self, delta: BookDelta) -> Taken:
        if delta.last <= self.last:
            return Taken.OLD
        return Taken.APPLIED if delta.last == self.last + 1 else Taken.GAP

    def checksum(self) -> int:
        """Return the CRC32 over the best ten asks, then bids, in digits of the instrument's tick and lot (Kraken)."""
        return zlib.crc32((self._asks.digits(self._lots) + self._bids.digits(self._lots)).encode())

    @property
    def best_bid(self) -> float:
        """Return the highest bid, NaN without one."""
        return self._bids.best

    @property
    def best_ask(self) -> float:
        """Return the lowest ask, NaN without one."""
        return self._asks.best

    def quote(self) -> Quote | None:
        """Return the best of both sides, None while one is empty."""
        bid, ask = self._bids.best, self._asks.best
        if math.isnan(bid) or math.isnan(ask):
            return None
        return Quote(self.ts, self.instrument, bid, self._bids.sizes[bid], ask, self._asks.sizes[ask])

    def microprice(self) -> float:
        """Return the mid weighted by the other side's size: where the next trade leans. NaN without both sides."""
        best = self.quote()
        if best is None:
            return NOWHERE
        return (best.bid * best.ask_size + best.ask * best.bid_size) / (best.bid_size + best.ask_size)

    def imbalance(self, levels: int = 5) -> float:
        """Return (bid size - ask size) / sum over the best levels, in [-1, 1]; NaN on an empty book."""
        bid, ask = (sum(size for _, size in self._best(side, levels)) for side in (self._bids, self._asks))
        return (bid - ask) / (bid + ask) if bid + ask else NOWHERE

    def price_for(self, side: Side, size: float) -> tuple[float, float]:
        """Return the average and the worst price at which an order of `size` would fill now, fees aside.

        Both are NaN when the known ladder does not hold so much, or `size` is not above 0.
        """
        left, paid, worst = size, 0.0, NOWHERE
        for price, offered in (self._asks if side is Side.BUY else self._bids).levels():
            part = min(left, offered)
            paid += part * price
            left -= part
            worst = price
            if left <= 0.0:
                break
        return (paid / size, worst) if size > 0.0 and left <= 0.0 else (NOWHERE, NOWHERE)

    def size_to(self, side: Side, worst: float) -> float:
        """Return how much an order of `side` could fill at `worst` or better."""
        ladder = self._asks if side is Side.BUY else self._bids
        total = 0.0
        for price, offered in ladder.levels():
            if price > worst if side is Side.BUY else price < worst:
                break
            total += offered
        return total

    def top(self, levels: int = 0) -> BookSnapshot:
        """Return the best levels of both sides as an event; 0 means all that are known."""
        bids, asks = (tuple(self._best(side, levels)) for side in (self._bids, self._asks))
        return BookSnapshot(self.ts, self.instrument, bids, asks)

    @staticmethod
    def _best(side: Ladder, levels: int) -> Iterator[tuple[float, float]]:
        return islice(side.levels(), levels or None)
